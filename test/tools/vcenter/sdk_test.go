package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/vmware/govmomi/cns"
	cnstypes "github.com/vmware/govmomi/cns/types"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"
)

func (b *bench) waitVim(task *object.Task, err error) *types.TaskInfo {
	b.Helper()
	b.ok(err)
	info, err := task.WaitForResult(context.Background(), nil)
	b.ok(err)
	return info
}

func TestTheOldManagerSeesTheSameDisks(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(64*miB, true)
	b.write(d, 0, []byte("old"))
	old := vslm.NewObjectManager(b.client.Client)
	store := b.v.datastores()[0]
	info := b.waitVim(old.CreateSnapshot(context.Background(), store, d.ID, "by /sdk"))
	taken := info.Result.(types.ID).Id
	equal(t, b.v.diskState(d.ID).Snapshots[0].Description, "by /sdk")
	res, err := methods.VstorageObjectVCenterQueryChangedDiskAreas(context.Background(), b.client.Client, &types.VstorageObjectVCenterQueryChangedDiskAreas{
		This: *b.client.ServiceContent.VStorageObjectManager, Id: types.ID{Id: d.ID}, Datastore: store.Self, SnapshotId: types.ID{Id: taken}, ChangeId: "*",
	})
	b.ok(err)
	equal(t, res.Returnval, types.DiskChangeInfo{Length: 64 * miB, ChangedArea: []types.DiskChangeExtent{{Length: grain}}})
	_, err = methods.RetrieveSnapshotDetails(context.Background(), b.client.Client, &types.RetrieveSnapshotDetails{
		This: *b.client.ServiceContent.VStorageObjectManager, Id: types.ID{Id: d.ID}, Datastore: types.ManagedObjectReference{Type: "Datastore", Value: "datastore-0"},
		SnapshotId: types.ID{Id: taken},
	})
	if err == nil || !strings.Contains(err.Error(), "NotFound") {
		t.Fatalf("a wrong datastore: %v", err)
	}
	b.waitVim(old.DeleteSnapshot(context.Background(), store, d.ID, taken))
	b.waitVim(old.Delete(context.Background(), store, d.ID))
	equal(t, len(b.v.state().Disks), 0)
}

func TestAContainerVolumeIsADiskWithAFileOfItsSize(t *testing.T) {
	b := newBench(t, wide())
	volumes, err := cns.NewClient(context.Background(), b.client.Client)
	b.ok(err)
	spec := cnstypes.CnsVolumeCreateSpec{
		Name: "pvc-2", VolumeType: "BLOCK", Datastores: []types.ManagedObjectReference{b.v.datastores()[0].Self},
		BackingObjectDetails: &cnstypes.CnsBlockBackingDetails{CnsBackingObjectDetails: cnstypes.CnsBackingObjectDetails{CapacityInMb: 5}},
	}
	created := func() *cnstypes.CnsVolumeOperationResult {
		info := b.waitVim(volumes.CreateVolume(context.Background(), []cnstypes.CnsVolumeCreateSpec{spec}))
		return info.Result.(cnstypes.CnsVolumeOperationBatchResult).VolumeResults[0].GetCnsVolumeOperationResult()
	}
	id := created().VolumeId
	seen := b.v.diskState(id.Id)
	file, err := os.Stat(seen.Path)
	b.ok(err)
	equal(t, file.Size(), 5*miB)

	spec.BackingObjectDetails = &cnstypes.CnsBlockBackingDetails{BackingDiskId: id.Id}
	if _, ok := created().Fault.Fault.(*cnstypes.CnsAlreadyRegisteredFault); !ok {
		t.Fatal("a registered disk was registered again")
	}
	taken := b.snapshot(seen)
	info := b.waitVim(volumes.DeleteVolume(context.Background(), []cnstypes.CnsVolumeId{id}, true))
	result := info.Result.(cnstypes.CnsVolumeOperationBatchResult).VolumeResults[0].GetCnsVolumeOperationResult()
	if _, ok := result.Fault.Fault.(*types.InvalidState); !ok {
		t.Fatal("a volume with snapshots was deleted")
	}
	b.deleteSnapshot(seen, taken)
	b.waitVim(volumes.DeleteVolume(context.Background(), []cnstypes.CnsVolumeId{id}, true))
	equal(t, len(b.v.state().Disks), 0)
}

func TestNothingIsReadWithoutALogin(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(miB, false)
	b.v.expireSessions()
	b.faults("/sdk", `<RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><options/></RetrievePropertiesEx>`, "NotAuthenticated")
	for path, want := range map[string]int{"/folder/fcd/" + d.ID + "-flat.vmdk?dcPath=DC0&dsName=LocalDS_0": 401, "/about": 404, "/guestFile?id=1": 404} {
		answer, err := b.server.Client().Get(b.server.URL + path)
		b.ok(err)
		_ = answer.Body.Close()
		equal(t, answer.StatusCode, want)
	}
}
