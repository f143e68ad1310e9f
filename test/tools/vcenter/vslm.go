package main

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm/methods"
	vslmsim "github.com/vmware/govmomi/vslm/simulator"
	vslm "github.com/vmware/govmomi/vslm/types"
)

// The manager of /vslm/sdk. Tags are the simulator's own; whatever touches a disk's contents, snapshots or flags is ours.
type vslmManager struct {
	*vslmsim.VStorageObjectManager
	v *vcenter
}

func (m *vslmManager) VslmCreateDiskTask(ctx *simulator.Context, req *vslm.VslmCreateDisk_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmCreateDisk_Task", func() (types.AnyType, types.BaseMethodFault) { return m.v.createDisk(req.Spec) })
	return &methods.VslmCreateDisk_TaskBody{Res: &vslm.VslmCreateDisk_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmDeleteVStorageObjectTask(ctx *simulator.Context, req *vslm.VslmDeleteVStorageObject_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmDeleteVStorageObject_Task", func() (types.AnyType, types.BaseMethodFault) { return m.v.deleteDisk(req.Id.Id) })
	return &methods.VslmDeleteVStorageObject_TaskBody{Res: &vslm.VslmDeleteVStorageObject_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmExtendDiskTask(ctx *simulator.Context, req *vslm.VslmExtendDisk_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmExtendDisk_Task", func() (types.AnyType, types.BaseMethodFault) {
		return m.v.extendDisk(req.Id.Id, req.NewCapacityInMB)
	})
	return &methods.VslmExtendDisk_TaskBody{Res: &vslm.VslmExtendDisk_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmCreateSnapshotTask(ctx *simulator.Context, req *vslm.VslmCreateSnapshot_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmCreateSnapshot_Task", func() (types.AnyType, types.BaseMethodFault) {
		return m.v.createSnapshot(req.Id.Id, req.Description)
	})
	return &methods.VslmCreateSnapshot_TaskBody{Res: &vslm.VslmCreateSnapshot_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmDeleteSnapshotTask(ctx *simulator.Context, req *vslm.VslmDeleteSnapshot_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmDeleteSnapshot_Task", func() (types.AnyType, types.BaseMethodFault) {
		return m.v.deleteSnapshot(req.Id.Id, req.SnapshotId.Id)
	})
	return &methods.VslmDeleteSnapshot_TaskBody{Res: &vslm.VslmDeleteSnapshot_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmCreateDiskFromSnapshotTask(ctx *simulator.Context, req *vslm.VslmCreateDiskFromSnapshot_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmCreateDiskFromSnapshot_Task", func() (types.AnyType, types.BaseMethodFault) {
		return m.v.createDiskFromSnapshot(req.Id.Id, req.SnapshotId.Id, req.Name, req.Path)
	})
	return &methods.VslmCreateDiskFromSnapshot_TaskBody{Res: &vslm.VslmCreateDiskFromSnapshot_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmUpdateVStorageObjectMetadataTask(ctx *simulator.Context, req *vslm.VslmUpdateVStorageObjectMetadata_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmUpdateVStorageObjectMetadata_Task", func() (types.AnyType, types.BaseMethodFault) {
		return m.v.updateMetadata(req.Id.Id, req.Metadata, req.DeleteKeys)
	})
	return &methods.VslmUpdateVStorageObjectMetadata_TaskBody{Res: &vslm.VslmUpdateVStorageObjectMetadata_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmReconcileDatastoreInventoryTask(ctx *simulator.Context, req *vslm.VslmReconcileDatastoreInventory_Task) soap.HasFault {
	ref := m.v.startVslm(ctx, "VslmReconcileDatastoreInventory_Task", func() (types.AnyType, types.BaseMethodFault) {
		return m.v.reconcile(req.Datastore)
	})
	return &methods.VslmReconcileDatastoreInventory_TaskBody{Res: &vslm.VslmReconcileDatastoreInventory_TaskResponse{Returnval: ref}}
}

func (m *vslmManager) VslmRetrieveSnapshotDetails(_ *simulator.Context, req *vslm.VslmRetrieveSnapshotDetails) soap.HasFault {
	body := new(methods.VslmRetrieveSnapshotDetailsBody)
	details, fault := m.v.snapshotDetails(req.Id.Id, req.SnapshotId.Id)
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = &vslm.VslmRetrieveSnapshotDetailsResponse{Returnval: *details}
	return body
}

func (m *vslmManager) VslmQueryChangedDiskAreas(_ *simulator.Context, req *vslm.VslmQueryChangedDiskAreas) soap.HasFault {
	body := new(methods.VslmQueryChangedDiskAreasBody)
	info, fault := m.v.changedAreas(req.Id.Id, req.SnapshotId.Id, req.StartOffset, req.ChangeId)
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = &vslm.VslmQueryChangedDiskAreasResponse{Returnval: *info}
	return body
}

func (m *vslmManager) VslmSetVStorageObjectControlFlags(_ *simulator.Context, req *vslm.VslmSetVStorageObjectControlFlags) soap.HasFault {
	body := new(methods.VslmSetVStorageObjectControlFlagsBody)
	if fault := m.v.controlFlags(req.Id.Id, req.ControlFlags, true); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = new(vslm.VslmSetVStorageObjectControlFlagsResponse)
	return body
}

func (m *vslmManager) VslmClearVStorageObjectControlFlags(_ *simulator.Context, req *vslm.VslmClearVStorageObjectControlFlags) soap.HasFault {
	body := new(methods.VslmClearVStorageObjectControlFlagsBody)
	if fault := m.v.controlFlags(req.Id.Id, req.ControlFlags, false); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = new(vslm.VslmClearVStorageObjectControlFlagsResponse)
	return body
}

func (m *vslmManager) VslmRetrieveVStorageObjectState(_ *simulator.Context, req *vslm.VslmRetrieveVStorageObjectState) soap.HasFault {
	body := new(methods.VslmRetrieveVStorageObjectStateBody)
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	if entry, _ := m.v.entry(req.Id.Id); entry == nil {
		body.Fault_ = simulator.Fault("", notFound())
		return body
	}
	body.Res = &vslm.VslmRetrieveVStorageObjectStateResponse{Returnval: types.VStorageObjectStateInfo{Tentative: types.NewBool(false)}}
	return body
}

func (m *vslmManager) VslmRetrieveVStorageObjectMetadata(_ *simulator.Context, req *vslm.VslmRetrieveVStorageObjectMetadata) soap.HasFault {
	body := new(methods.VslmRetrieveVStorageObjectMetadataBody)
	all, fault := m.metadata(req.Id, req.SnapshotId)
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = new(vslm.VslmRetrieveVStorageObjectMetadataResponse)
	for _, kv := range all {
		if strings.HasPrefix(kv.Key, req.Prefix) {
			body.Res.Returnval = append(body.Res.Returnval, kv)
		}
	}
	return body
}

func (m *vslmManager) VslmRetrieveVStorageObjectMetadataValue(_ *simulator.Context, req *vslm.VslmRetrieveVStorageObjectMetadataValue) soap.HasFault {
	body := new(methods.VslmRetrieveVStorageObjectMetadataValueBody)
	all, fault := m.metadata(req.Id, req.SnapshotId)
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	for _, kv := range all {
		if kv.Key == req.Key {
			body.Res = &vslm.VslmRetrieveVStorageObjectMetadataValueResponse{Returnval: kv.Value}
			return body
		}
	}
	body.Fault_ = simulator.Fault("", &types.KeyNotFound{Key: req.Key})
	return body
}

// A disk's metadata, or what it was when a snapshot was taken.
func (m *vslmManager) metadata(id types.ID, snapshotID *types.ID) ([]types.KeyValue, types.BaseMethodFault) {
	if snapshotID != nil && snapshotID.Id != "" {
		found, fault := m.v.findSnapshot(id.Id, snapshotID.Id)
		if fault != nil {
			return nil, fault
		}
		return found.metadata, nil
	}
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	entry, _ := m.v.entry(id.Id)
	if entry == nil {
		return nil, invalidArgument("VolumeId")
	}
	return entry.Metadata, nil
}

// The simulator's own answers read its catalog, which our tasks change.

func (m *vslmManager) VslmListVStorageObjectForSpec(ctx *simulator.Context, req *vslm.VslmListVStorageObjectForSpec) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.VStorageObjectManager.VslmListVStorageObjectForSpec(ctx, req)
}

func (m *vslmManager) VslmRetrieveVStorageObject(ctx *simulator.Context, req *vslm.VslmRetrieveVStorageObject) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.VStorageObjectManager.VslmRetrieveVStorageObject(ctx, req)
}

func (m *vslmManager) VslmRetrieveSnapshotInfo(ctx *simulator.Context, req *vslm.VslmRetrieveSnapshotInfo) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.VStorageObjectManager.VslmRetrieveSnapshotInfo(ctx, req)
}

func (m *vslmManager) VslmAttachDiskTask(ctx *simulator.Context, req *vslm.VslmAttachDisk_Task) soap.HasFault {
	m.v.mu.Lock()
	defer m.v.mu.Unlock()
	return m.VStorageObjectManager.VslmAttachDiskTask(ctx, req)
}

// A registered file would have neither a size nor a place that this program knows.
func (m *vslmManager) VslmRegisterDisk(*simulator.Context, *vslm.VslmRegisterDisk) soap.HasFault {
	return &methods.VslmRegisterDiskBody{Fault_: simulator.Fault("this stand-in does not register disks", new(types.NotSupported))}
}
