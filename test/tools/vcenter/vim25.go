package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// The manager of /sdk, for vCenters without /vslm/sdk: the same disks, but each call names the datastore too.
// The simulator insists on its own object under its own reference, so this one has another, to which calls are led (server.go).
type vimManager struct {
	*simulator.VcenterVStorageObjectManager
	v *vcenter
}

var vimManagerRef = types.ManagedObjectReference{Type: "VcenterVStorageObjectManager", Value: "DormouseVStorageObjectManager"}

func (m *vimManager) Reference() types.ManagedObjectReference { return vimManagerRef }

// Holds an operation back when the disk is not on the datastore that the call names.
func (m *vimManager) on(datastore types.ManagedObjectReference, id types.ID, run operation) operation {
	return func() (types.AnyType, types.BaseMethodFault) {
		if fault := m.place(datastore, id); fault != nil {
			return nil, fault
		}
		return run()
	}
}

func (m *vimManager) place(datastore types.ManagedObjectReference, id types.ID) types.BaseMethodFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	if entry, actual := m.v.entry(id.Id); entry == nil || actual != datastore {
		return notFound()
	}
	return nil
}

func (m *vimManager) CreateDiskTask(ctx *simulator.Context, req *types.CreateDisk_Task) soap.HasFault {
	ref := m.v.start(ctx, "CreateDisk_Task", func() (types.AnyType, types.BaseMethodFault) { return m.v.createDisk(req.Spec) })
	return &methods.CreateDisk_TaskBody{Res: &types.CreateDisk_TaskResponse{Returnval: ref}}
}

func (m *vimManager) DeleteVStorageObjectTask(ctx *simulator.Context, req *types.DeleteVStorageObject_Task) soap.HasFault {
	ref := m.v.start(ctx, "DeleteVStorageObject_Task", m.on(req.Datastore, req.Id, func() (types.AnyType, types.BaseMethodFault) {
		return m.v.deleteDisk(req.Id.Id)
	}))
	return &methods.DeleteVStorageObject_TaskBody{Res: &types.DeleteVStorageObject_TaskResponse{Returnval: ref}}
}

func (m *vimManager) ExtendDiskTask(ctx *simulator.Context, req *types.ExtendDisk_Task) soap.HasFault {
	ref := m.v.start(ctx, "ExtendDisk_Task", m.on(req.Datastore, req.Id, func() (types.AnyType, types.BaseMethodFault) {
		return m.v.extendDisk(req.Id.Id, req.NewCapacityInMB)
	}))
	return &methods.ExtendDisk_TaskBody{Res: &types.ExtendDisk_TaskResponse{Returnval: ref}}
}

func (m *vimManager) VStorageObjectCreateSnapshotTask(ctx *simulator.Context, req *types.VStorageObjectCreateSnapshot_Task) soap.HasFault {
	ref := m.v.start(ctx, "VStorageObjectCreateSnapshot_Task", m.on(req.Datastore, req.Id, func() (types.AnyType, types.BaseMethodFault) {
		return m.v.createSnapshot(req.Id.Id, req.Description)
	}))
	return &methods.VStorageObjectCreateSnapshot_TaskBody{Res: &types.VStorageObjectCreateSnapshot_TaskResponse{Returnval: ref}}
}

func (m *vimManager) DeleteSnapshotTask(ctx *simulator.Context, req *types.DeleteSnapshot_Task) soap.HasFault {
	ref := m.v.start(ctx, "DeleteSnapshot_Task", m.on(req.Datastore, req.Id, func() (types.AnyType, types.BaseMethodFault) {
		return m.v.deleteSnapshot(req.Id.Id, req.SnapshotId.Id)
	}))
	return &methods.DeleteSnapshot_TaskBody{Res: &types.DeleteSnapshot_TaskResponse{Returnval: ref}}
}

func (m *vimManager) CreateDiskFromSnapshotTask(ctx *simulator.Context, req *types.CreateDiskFromSnapshot_Task) soap.HasFault {
	ref := m.v.start(ctx, "CreateDiskFromSnapshot_Task", m.on(req.Datastore, req.Id, func() (types.AnyType, types.BaseMethodFault) {
		return m.v.createDiskFromSnapshot(req.Id.Id, req.SnapshotId.Id, req.Name, req.Path)
	}))
	return &methods.CreateDiskFromSnapshot_TaskBody{Res: &types.CreateDiskFromSnapshot_TaskResponse{Returnval: ref}}
}

func (m *vimManager) VCenterUpdateVStorageObjectMetadataExTask(ctx *simulator.Context, req *types.VCenterUpdateVStorageObjectMetadataEx_Task) soap.HasFault {
	ref := m.v.start(ctx, "VCenterUpdateVStorageObjectMetadataEx_Task", m.on(req.Datastore, req.Id, func() (types.AnyType, types.BaseMethodFault) {
		return m.v.updateMetadata(req.Id.Id, req.Metadata, req.DeleteKeys)
	}))
	return &methods.VCenterUpdateVStorageObjectMetadataEx_TaskBody{Res: &types.VCenterUpdateVStorageObjectMetadataEx_TaskResponse{Returnval: ref}}
}

func (m *vimManager) ReconcileDatastoreInventoryTask(ctx *simulator.Context, req *types.ReconcileDatastoreInventory_Task) soap.HasFault {
	ref := m.v.start(ctx, "ReconcileDatastoreInventory_Task", func() (types.AnyType, types.BaseMethodFault) {
		return m.v.reconcile(req.Datastore)
	})
	return &methods.ReconcileDatastoreInventory_TaskBody{Res: &types.ReconcileDatastoreInventory_TaskResponse{Returnval: ref}}
}

func (m *vimManager) RetrieveSnapshotDetails(_ *simulator.Context, req *types.RetrieveSnapshotDetails) soap.HasFault {
	body := new(methods.RetrieveSnapshotDetailsBody)
	if fault := m.place(req.Datastore, req.Id); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	details, fault := m.v.snapshotDetails(req.Id.Id, req.SnapshotId.Id)
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = &types.RetrieveSnapshotDetailsResponse{Returnval: *details}
	return body
}

func (m *vimManager) VstorageObjectVCenterQueryChangedDiskAreas(_ *simulator.Context, req *types.VstorageObjectVCenterQueryChangedDiskAreas) soap.HasFault {
	body := new(methods.VstorageObjectVCenterQueryChangedDiskAreasBody)
	if fault := m.place(req.Datastore, req.Id); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	info, fault := m.v.changedAreas(req.Id.Id, req.SnapshotId.Id, req.StartOffset, req.ChangeId)
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = &types.VstorageObjectVCenterQueryChangedDiskAreasResponse{Returnval: *info}
	return body
}

func (m *vimManager) SetVStorageObjectControlFlags(_ *simulator.Context, req *types.SetVStorageObjectControlFlags) soap.HasFault {
	body := new(methods.SetVStorageObjectControlFlagsBody)
	fault := m.place(req.Datastore, req.Id)
	if fault == nil {
		fault = m.v.controlFlags(req.Id.Id, req.ControlFlags, true)
	}
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = new(types.SetVStorageObjectControlFlagsResponse)
	return body
}

func (m *vimManager) ClearVStorageObjectControlFlags(_ *simulator.Context, req *types.ClearVStorageObjectControlFlags) soap.HasFault {
	body := new(methods.ClearVStorageObjectControlFlagsBody)
	fault := m.place(req.Datastore, req.Id)
	if fault == nil {
		fault = m.v.controlFlags(req.Id.Id, req.ControlFlags, false)
	}
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = new(types.ClearVStorageObjectControlFlagsResponse)
	return body
}

// The simulator's own answers read its catalog, which our tasks change.

func (m *vimManager) ListVStorageObject(req *types.ListVStorageObject) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.VcenterVStorageObjectManager.ListVStorageObject(req)
}

func (m *vimManager) RetrieveVStorageObject(ctx *simulator.Context, req *types.RetrieveVStorageObject) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.VcenterVStorageObjectManager.RetrieveVStorageObject(ctx, req)
}

func (m *vimManager) RetrieveSnapshotInfo(req *types.RetrieveSnapshotInfo) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.VcenterVStorageObjectManager.RetrieveSnapshotInfo(req)
}

func (m *vimManager) RegisterDisk(*simulator.Context, *types.RegisterDisk) soap.HasFault {
	return &methods.RegisterDiskBody{Fault_: simulator.Fault("this stand-in does not register disks", new(types.NotSupported))}
}
