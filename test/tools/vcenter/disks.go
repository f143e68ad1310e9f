package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// What this program knows of a First Class Disk beyond the simulator's catalog entry.
type disk struct {
	busy      sync.Mutex // one operation at a time, as in vSphere; taken before vcenter.mu
	id        string
	folder    string // of the disk's files
	tracker   *tracker
	snapshots []*snapshot
}

type snapshot struct {
	id       string
	disk     *disk
	capacity int64
	tracker  *tracker // nil when change tracking was off
	epoch    int
	metadata []types.KeyValue
}

func (d *disk) flat() string       { return filepath.Join(d.folder, d.id+"-flat.vmdk") }
func (d *disk) descriptor() string { return filepath.Join(d.folder, d.id+".vmdk") }

func (s *snapshot) file() string {
	return filepath.Join(s.disk.folder, fmt.Sprintf("%s-%s-snap.vmdk", s.disk.id, s.id))
}

func (s *snapshot) changeID() string {
	if s.tracker == nil {
		return ""
	}
	return s.tracker.changeID(s.epoch)
}

func (d *disk) snapshot(id string) *snapshot {
	for _, s := range d.snapshots {
		if s.id == id {
			return s
		}
	}
	return nil
}

// The simulator's own entry for a disk. The caller holds v.mu.
func (v *vcenter) entry(id string) (*simulator.VStorageObject, types.ManagedObjectReference) {
	for datastore, objects := range v.manager().Catalog() {
		if found := objects[types.ID{Id: id}]; found != nil {
			return found, datastore
		}
	}
	return nil, types.ManagedObjectReference{}
}

func (v *vcenter) manager() *simulator.VcenterVStorageObjectManager {
	return v.vim().Map.VStorageObjectManager()
}

func (v *vcenter) vim() *simulator.Context { return v.service.Context.For(vim25.Path) }

func (v *vcenter) datastore(ref types.ManagedObjectReference) *simulator.Datastore {
	found, _ := v.vim().Map.Get(ref).(*simulator.Datastore)
	return found
}

// Runs an operation on a disk alone, or says that there is no such disk.
func (v *vcenter) withDisk(id string, operate func(*disk) (types.AnyType, types.BaseMethodFault)) (types.AnyType, types.BaseMethodFault) {
	v.mu.Lock()
	d := v.disks[id]
	v.mu.Unlock()
	if d == nil {
		return nil, notFound()
	}
	d.busy.Lock()
	defer d.busy.Unlock()
	v.mu.Lock()
	entry, _ := v.entry(id)
	gone := v.disks[id] != d || entry == nil
	v.mu.Unlock()
	if gone {
		return nil, notFound()
	}
	return operate(d)
}

// Creates a disk by the simulator's own means, which leave its file empty, and then gives the file its size.
func (v *vcenter) createDisk(spec types.VslmCreateSpec) (*types.VStorageObject, types.BaseMethodFault) {
	backing, ok := spec.BackingSpec.(*types.VslmCreateSpecDiskFileBackingSpec)
	switch {
	case spec.Name == "":
		return nil, invalidArgument("spec.name")
	case spec.CapacityInMB <= 0:
		return nil, invalidArgument("spec.capacityInMB")
	case !ok || v.datastore(backing.Datastore) == nil:
		return nil, invalidArgument("spec.backingSpec")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	ctx := v.vim()
	res := v.manager().CreateDiskTask(ctx, &types.CreateDisk_Task{This: v.manager().Self, Spec: spec})
	result, fault := waitFor(ctx, res.(*methods.CreateDisk_TaskBody).Res.Returnval)
	if fault != nil {
		return nil, fault
	}
	created := result.(*types.VStorageObject)
	if _, err := v.adopt(created); err != nil {
		return nil, systemError(err)
	}
	return created, nil
}

// Waits for one of the simulator's own tasks; those take no time to speak of.
func waitFor(ctx *simulator.Context, ref types.ManagedObjectReference) (types.AnyType, types.BaseMethodFault) {
	task := ctx.Map.Get(ref).(*simulator.Task)
	task.Wait()
	if task.Info.Error != nil {
		return nil, task.Info.Error.Fault
	}
	return task.Info.Result, nil
}

// Takes over a disk that the simulator has created. The caller holds v.mu.
func (v *vcenter) adopt(created *types.VStorageObject) (*disk, error) {
	backing := created.Config.Backing.(*types.BaseConfigInfoDiskFileBackingInfo)
	var at object.DatastorePath
	at.FromString(backing.FilePath)
	root := v.datastore(backing.Datastore).Summary.Url
	d := &disk{id: created.Config.Id.Id, folder: filepath.Join(v.dataRoot, backing.Datastore.Value, "fcd")}
	if err := os.MkdirAll(d.folder, 0o755); err != nil {
		return nil, err
	}
	// A disk with a path of its own is found under its id as well.
	descriptor := filepath.Join(root, at.Path)
	if at.Path != "fcd/"+d.id+".vmdk" {
		for name, target := range map[string]string{d.descriptor(): descriptor, d.flat(): simulator.VirtualDiskBackingFileName(descriptor)} {
			if err := os.Symlink(target, name); err != nil {
				return nil, err
			}
		}
	}
	if err := os.Truncate(d.flat(), created.Config.CapacityInMB*miB); err != nil {
		return nil, err
	}
	v.disks[d.id] = d
	return d, nil
}

func (v *vcenter) deleteDisk(id string) (types.AnyType, types.BaseMethodFault) {
	return v.withDisk(id, func(d *disk) (types.AnyType, types.BaseMethodFault) {
		v.mu.Lock()
		defer v.mu.Unlock()
		entry, datastore := v.entry(id)
		if entry == nil {
			return nil, notFound()
		}
		if len(d.snapshots) > 0 || len(entry.Config.ConsumerId) > 0 {
			return nil, new(types.InvalidState)
		}
		if err := d.removeFiles(); err != nil {
			return nil, systemError(err)
		}
		delete(v.manager().Catalog()[datastore], types.ID{Id: id})
		delete(v.disks, id)
		return nil, nil
	})
}

func (d *disk) removeFiles() error {
	for _, name := range []string{d.flat(), d.descriptor()} {
		for _, file := range []string{realPath(name), name} {
			if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

// Where a name leads when it is a link, else the name.
func realPath(name string) string {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		return target
	}
	return name
}

// Forgets the disks of a datastore whose files somebody has removed.
func (v *vcenter) reconcile(datastore types.ManagedObjectReference) (types.AnyType, types.BaseMethodFault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id := range v.manager().Catalog()[datastore] {
		d := v.disks[id.Id]
		if _, err := os.Stat(d.flat()); os.IsNotExist(err) {
			delete(v.manager().Catalog()[datastore], id)
			delete(v.disks, id.Id)
		}
	}
	return nil, nil
}

var capacityLine = regexp.MustCompile(`(?m)^RW \d+ `)

func (v *vcenter) extendDisk(id string, capacityInMB int64) (types.AnyType, types.BaseMethodFault) {
	return v.withDisk(id, func(d *disk) (types.AnyType, types.BaseMethodFault) {
		v.mu.Lock()
		defer v.mu.Unlock()
		entry, _ := v.entry(id)
		switch {
		case capacityInMB < entry.Config.CapacityInMB:
			return nil, invalidArgument("newCapacityInMB")
		case len(d.snapshots) > 0: // a chain of deltas cannot grow
			return nil, new(types.InvalidState)
		}
		text, err := os.ReadFile(d.descriptor())
		if err != nil {
			return nil, systemError(err)
		}
		text = capacityLine.ReplaceAll(text, fmt.Appendf(nil, "RW %d ", capacityInMB*miB/512))
		if err := os.WriteFile(d.descriptor(), text, 0o644); err != nil {
			return nil, systemError(err)
		}
		if err := os.Truncate(d.flat(), capacityInMB*miB); err != nil {
			return nil, systemError(err)
		}
		entry.Config.CapacityInMB = capacityInMB
		return nil, nil
	})
}
