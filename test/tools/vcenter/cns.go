package main

import (
	"context"

	"github.com/vmware/govmomi/cns/methods"
	cnssim "github.com/vmware/govmomi/cns/simulator"
	cns "github.com/vmware/govmomi/cns/types"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Container volumes: the simulator's list of them, over disks that have contents here. Like the real one it reports most
// faults not as the task's but in the result for the volume.
type cnsManager struct {
	*cnssim.CnsVolumeManager
	v *vcenter
}

// Runs one of the simulator's own CNS calls to its end. The caller holds v.mu.
func (m *cnsManager) stock(started types.ManagedObjectReference) (types.AnyType, types.BaseMethodFault) {
	return waitFor(m.v.vim(), started)
}

func volumeFault(id string, fault types.BaseMethodFault) types.AnyType {
	return &cns.CnsVolumeOperationBatchResult{VolumeResults: []cns.BaseCnsVolumeOperationResult{&cns.CnsVolumeOperationResult{
		VolumeId: cns.CnsVolumeId{Id: id},
		Fault:    &types.LocalizedMethodFault{Fault: fault, LocalizedMessage: "see the fault's type"},
	}}}
}

func (m *cnsManager) CnsCreateVolume(ctx *simulator.Context, req *cns.CnsCreateVolume) soap.HasFault {
	planned := m.v.plans.volumeFault("CnsCreateVolume")
	ref := m.v.start(ctx, "CnsCreateVolume", func() (types.AnyType, types.BaseMethodFault) {
		if planned != nil {
			return volumeFault("", planned), nil
		}
		m.v.mu.Lock()
		defer m.v.mu.Unlock()
		if fault := m.checkCreate(req); fault != nil {
			return nil, fault
		}
		backing := req.CreateSpecs[0].BackingObjectDetails.(*cns.CnsBlockBackingDetails)
		if m.registered(backing.BackingDiskId) {
			id := cns.CnsVolumeId{Id: backing.BackingDiskId}
			return volumeFault(backing.BackingDiskId, &cns.CnsAlreadyRegisteredFault{VolumeId: id}), nil
		}
		body := m.CnsVolumeManager.CnsCreateVolume(ctx, req).(*methods.CnsCreateVolumeBody)
		result, fault := m.stock(body.Res.Returnval)
		if fault != nil {
			return nil, fault
		}
		return result, m.adoptVolumes(result)
	})
	return &methods.CnsCreateVolumeBody{Res: &cns.CnsCreateVolumeResponse{Returnval: ref}}
}

// What would make the simulator panic or do something that CNS would not.
func (m *cnsManager) checkCreate(req *cns.CnsCreateVolume) types.BaseMethodFault {
	if len(req.CreateSpecs) != 1 {
		return invalidArgument("InputSpec")
	}
	spec := req.CreateSpecs[0]
	backing, ok := spec.BackingObjectDetails.(*cns.CnsBlockBackingDetails)
	if !ok {
		return invalidArgument("createSpecs.backingObjectDetails")
	}
	if backing.BackingDiskId != "" {
		return nil
	}
	if spec.Name == "" {
		return invalidArgument("createSpecs.name")
	}
	if backing.CapacityInMb <= 0 {
		return invalidArgument("createSpecs.backingObjectDetails.capacityInMb")
	}
	for _, ref := range spec.Datastores {
		if m.v.datastore(ref) == nil {
			return invalidArgument("createSpecs.datastores")
		}
	}
	return nil
}

func (m *cnsManager) registered(id string) bool {
	if id == "" {
		return false
	}
	filter := &cns.CnsQueryFilter{VolumeIds: []cns.CnsVolumeId{{Id: id}}}
	res := m.CnsVolumeManager.CnsQueryVolume(context.Background(), &cns.CnsQueryVolume{Filter: filter})
	return len(res.(*methods.CnsQueryVolumeBody).Res.Returnval.Volumes) > 0
}

func (m *cnsManager) adoptVolumes(result types.AnyType) types.BaseMethodFault {
	for _, volume := range result.(*cns.CnsVolumeOperationBatchResult).VolumeResults {
		id := volume.GetCnsVolumeOperationResult().VolumeId.Id
		if m.v.disks[id] != nil {
			continue
		}
		entry, _ := m.v.entry(id)
		if _, err := m.v.adopt(&entry.VStorageObject); err != nil {
			return systemError(err)
		}
	}
	return nil
}

func (m *cnsManager) CnsDeleteVolume(ctx *simulator.Context, req *cns.CnsDeleteVolume) soap.HasFault {
	planned := m.v.plans.volumeFault("CnsDeleteVolume")
	ref := m.v.start(ctx, "CnsDeleteVolume", func() (types.AnyType, types.BaseMethodFault) {
		if len(req.VolumeIds) != 1 {
			return nil, invalidArgument("InputSpec")
		}
		id := req.VolumeIds[0].Id
		if planned != nil {
			return volumeFault(id, planned), nil
		}
		m.v.mu.Lock()
		known := m.registered(id)
		m.v.mu.Unlock()
		if known && req.DeleteDisk {
			if _, fault := m.v.deleteDisk(id); fault != nil {
				return volumeFault(id, fault), nil
			}
		}
		m.v.mu.Lock()
		defer m.v.mu.Unlock()
		only := *req
		only.DeleteDisk = false // is done
		return m.stock(m.CnsVolumeManager.CnsDeleteVolume(ctx, &only).(*methods.CnsDeleteVolumeBody).Res.Returnval)
	})
	return &methods.CnsDeleteVolumeBody{Res: &cns.CnsDeleteVolumeResponse{Returnval: ref}}
}

func (m *cnsManager) CnsExtendVolume(ctx *simulator.Context, req *cns.CnsExtendVolume) soap.HasFault {
	planned := m.v.plans.volumeFault("CnsExtendVolume")
	ref := m.v.start(ctx, "CnsExtendVolume", func() (types.AnyType, types.BaseMethodFault) {
		if len(req.ExtendSpecs) != 1 {
			return nil, invalidArgument("InputSpec")
		}
		spec := req.ExtendSpecs[0]
		if planned != nil {
			return volumeFault(spec.VolumeId.Id, planned), nil
		}
		if _, fault := m.v.extendDisk(spec.VolumeId.Id, spec.CapacityInMb); fault != nil {
			return volumeFault(spec.VolumeId.Id, fault), nil
		}
		m.v.mu.Lock()
		defer m.v.mu.Unlock()
		return m.stock(m.CnsVolumeManager.CnsExtendVolume(ctx, req).(*methods.CnsExtendVolumeBody).Res.Returnval)
	})
	return &methods.CnsExtendVolumeBody{Res: &cns.CnsExtendVolumeResponse{Returnval: ref}}
}

// The simulator's own answers read the list that our tasks change.

func (m *cnsManager) CnsQueryVolume(ctx *simulator.Context, req *cns.CnsQueryVolume) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.CnsVolumeManager.CnsQueryVolume(ctx, req)
}

func (m *cnsManager) CnsQueryAllVolume(ctx *simulator.Context, req *cns.CnsQueryAllVolume) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.CnsVolumeManager.CnsQueryAllVolume(ctx, req)
}

// The simulator would keep snapshots of its own here, which the disk knows nothing of.

func noCnsSnapshots() *soap.Fault {
	return simulator.Fault("this stand-in has snapshots in /vslm/sdk only", new(types.NotSupported))
}

func (m *cnsManager) CnsCreateSnapshots(*simulator.Context, *cns.CnsCreateSnapshots) soap.HasFault {
	return &methods.CnsCreateSnapshotsBody{Fault_: noCnsSnapshots()}
}

func (m *cnsManager) CnsDeleteSnapshots(*simulator.Context, *cns.CnsDeleteSnapshots) soap.HasFault {
	return &methods.CnsDeleteSnapshotBody{Fault_: noCnsSnapshots()}
}

func (m *cnsManager) CnsQuerySnapshots(*simulator.Context, *cns.CnsQuerySnapshots) soap.HasFault {
	return &methods.CnsQuerySnapshotsBody{Fault_: noCnsSnapshots()}
}
