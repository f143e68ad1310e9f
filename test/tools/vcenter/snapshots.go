package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vim25/types"
)

// The real limit of a chain of deltas; the CSI driver stops at 3 of its own accord.
const maxSnapshots = 32

func (v *vcenter) createSnapshot(id, description string) (types.AnyType, types.BaseMethodFault) {
	return v.withDisk(id, func(d *disk) (types.AnyType, types.BaseMethodFault) {
		if len(d.snapshots) >= maxSnapshots {
			return nil, new(types.InvalidState)
		}
		taken := &snapshot{id: uuid.NewString(), disk: d, tracker: d.tracker}
		// The slow part; the disk is ours alone, the rest of the vCenter goes on.
		if err := copySparse(d.flat(), taken.file()); err != nil {
			return nil, systemError(err)
		}
		if taken.tracker != nil {
			contents, err := hashDisk(taken.file())
			if err != nil {
				return nil, systemError(err)
			}
			taken.epoch = taken.tracker.advance(contents)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		entry, _ := v.entry(id)
		taken.capacity = entry.Config.CapacityInMB * miB
		taken.metadata = slices.Clone(entry.Metadata)
		d.snapshots = append(d.snapshots, taken)
		entry.Snapshots = append(slices.Clone(entry.Snapshots), types.VStorageObjectSnapshotInfoVStorageObjectSnapshot{
			Id:              &types.ID{Id: taken.id},
			BackingObjectId: uuid.NewString(),
			CreateTime:      time.Now().UTC(),
			Description:     description,
		})
		return &types.ID{Id: taken.id}, nil
	})
}

func (v *vcenter) deleteSnapshot(id, snapshotID string) (types.AnyType, types.BaseMethodFault) {
	return v.withDisk(id, func(d *disk) (types.AnyType, types.BaseMethodFault) {
		doomed := d.snapshot(snapshotID)
		if doomed == nil {
			return nil, invalidArgument("snapshotId")
		}
		if err := os.Remove(doomed.file()); err != nil && !os.IsNotExist(err) {
			return nil, systemError(err)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		d.snapshots = slices.DeleteFunc(slices.Clone(d.snapshots), func(s *snapshot) bool { return s == doomed })
		entry, _ := v.entry(id)
		entry.Snapshots = slices.DeleteFunc(slices.Clone(entry.Snapshots), func(s types.VStorageObjectSnapshotInfoVStorageObjectSnapshot) bool {
			return s.Id.Id == snapshotID
		})
		return nil, nil
	})
}

// Looks a snapshot up for a call that answers at once.
func (v *vcenter) findSnapshot(id, snapshotID string) (*snapshot, types.BaseMethodFault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.disks[id]
	if d == nil {
		return nil, notFound()
	}
	found := d.snapshot(snapshotID)
	if found == nil {
		return nil, invalidArgument("snapshotId")
	}
	return found, nil
}

func (v *vcenter) snapshotDetails(id, snapshotID string) (*types.VStorageObjectSnapshotDetails, types.BaseMethodFault) {
	found, fault := v.findSnapshot(id, snapshotID)
	if fault != nil {
		return nil, fault
	}
	return &types.VStorageObjectSnapshotDetails{
		Path:                   v.datastorePath(found),
		ChangedBlockTrackingId: found.changeID(),
	}, nil
}

func (v *vcenter) datastorePath(s *snapshot) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ref := v.entry(s.disk.id)
	return fmt.Sprintf("[%s] fcd/%s-%s-snap.vmdk", v.datastore(ref).Name, s.disk.id, s.id)
}

// A new disk with a snapshot's contents, on the same datastore, without the old one's flags and metadata.
func (v *vcenter) createDiskFromSnapshot(id, snapshotID, name, path string) (types.AnyType, types.BaseMethodFault) {
	return v.withDisk(id, func(d *disk) (types.AnyType, types.BaseMethodFault) {
		source := d.snapshot(snapshotID)
		if source == nil {
			return nil, invalidArgument("snapshotId")
		}
		v.mu.Lock()
		_, datastore := v.entry(id)
		v.mu.Unlock()
		created, fault := v.createDisk(types.VslmCreateSpec{
			Name:              name,
			KeepAfterDeleteVm: types.NewBool(true),
			CapacityInMB:      source.capacity / miB,
			BackingSpec: &types.VslmCreateSpecDiskFileBackingSpec{
				VslmCreateSpecBackingSpec: types.VslmCreateSpecBackingSpec{Datastore: datastore, Path: path},
				ProvisioningType:          string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeThin),
			},
		})
		if fault != nil {
			return nil, fault
		}
		v.mu.Lock()
		target := v.disks[created.Config.Id.Id]
		v.mu.Unlock()
		if err := copySparse(source.file(), realPath(target.flat())); err != nil {
			return nil, systemError(err)
		}
		return created, nil
	})
}

// What changed between changeId and a snapshot, or with "*" what the snapshot has allocated; at most a slice per call.
func (v *vcenter) changedAreas(id, snapshotID string, start int64, changeID string) (*types.DiskChangeInfo, types.BaseMethodFault) {
	target, fault := v.findSnapshot(id, snapshotID)
	if fault != nil {
		return nil, fault
	}
	if start < 0 || start >= target.capacity {
		return nil, invalidArgument("startOffset")
	}
	if target.tracker == nil {
		return nil, trackingFault(v.datastorePath(target), noTrack, "Change tracking is not active for this disk.")
	}
	areas, fault := v.areasSince(target, changeID)
	if fault != nil {
		return nil, fault
	}
	length, within := v.limits.cut(areas, start, target.capacity)
	info := &types.DiskChangeInfo{StartOffset: start, Length: length}
	for _, e := range within {
		info.ChangedArea = append(info.ChangedArea, types.DiskChangeExtent{Start: e.start, Length: e.length})
	}
	return info, nil
}

func (v *vcenter) areasSince(target *snapshot, changeID string) ([]extent, types.BaseMethodFault) {
	if changeID == "*" {
		areas, err := dataExtents(target.file())
		if err != nil {
			return nil, systemError(err)
		}
		return areas, nil
	}
	tracking, epoch, ok := parseChangeID(changeID)
	switch {
	case !ok:
		return nil, invalidArgument("changeId")
	case tracking != target.tracker.id:
		return nil, trackingFault(v.datastorePath(target), cannotGetChanges, "Cannot get the changes of this disk: the change ID does not match.")
	case epoch < 1 || epoch > target.epoch:
		return nil, invalidArgument("changeId")
	}
	return target.tracker.between(epoch, target.epoch), nil
}
