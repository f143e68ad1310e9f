package main

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"
)

func TestChangesAreKnownAfterTheBaseSnapshotIsDeleted(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(200*giB, true)
	b.write(d, miB, make([]byte, 10))
	b.write(d, 2*miB, []byte("first"))
	base := b.snapshot(d)
	before := b.changeID(d, base)
	b.write(d, 4*miB, []byte("second"))
	middle := b.snapshot(d)
	b.deleteSnapshot(d, base)
	b.deleteSnapshot(d, middle)
	b.write(d, 150*giB, []byte("third"))
	last := b.snapshot(d)
	equal(t, b.areas(d, last, before), []extent{{4 * miB, grain}})
	info, err := b.manager.QueryChangedDiskAreas(context.Background(), types.ID{Id: d.ID}, types.ID{Id: last}, 150*giB-grain, before)
	b.ok(err)
	equal(t, info.ChangedArea, []types.DiskChangeExtent{{Start: 150 * giB, Length: grain}})
	equal(t, b.areas(d, last, "*"), []extent{{miB, grain}, {2 * miB, grain}, {4 * miB, grain}})
}

func TestChangedAreasAreRefusedAsVsphereDoes(t *testing.T) {
	b := newBench(t, wide())
	d, other := b.disk(16*miB, true), b.disk(16*miB, false)
	first, untracked := b.snapshot(d), b.snapshot(other)
	id := b.changeID(d, first)
	b.faults("/vslm/sdk", query(d, "nobody", "0", id), `"vmodl.fault.InvalidArgument"`, "<invalidProperty>snapshotId<")
	b.faults("/vslm/sdk", query(d, first, "0", "nonsense"), "<invalidProperty>changeId<")
	b.faults("/vslm/sdk", query(d, first, "0", strings.Replace(id, "/1", "/2", 1)), "<invalidProperty>changeId<")
	b.faults("/vslm/sdk", query(d, first, "16777216", id), "<invalidProperty>startOffset<")
	b.faults("/vslm/sdk", query(other, untracked, "0", "*"), `"FileFault"`, "vim.hostd.vmsvc.cbt.noTrack")
	b.ok(b.manager.ClearControlFlags(context.Background(), types.ID{Id: d.ID}))
	b.ok(b.manager.SetControlFlags(context.Background(), types.ID{Id: d.ID}, []string{"enableChangedBlockTracking"}))
	b.faults("/vslm/sdk", query(d, b.snapshot(d), "0", id), `"FileFault"`, "vim.hostd.vmsvc.cbt.cannotGetChanges")
}

func TestASnapshotBecomesADiskWithItsContents(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(64*miB, false)
	b.write(d, 5*miB, []byte("kept"))
	taken := b.snapshot(d)
	b.write(d, 5*miB, []byte("lost"))
	task, err := b.manager.CreateDiskFromSnapshot(context.Background(), types.ID{Id: d.ID}, types.ID{Id: taken}, "restored", nil, nil, "")
	made := b.v.diskState(b.finish(task, err).(types.VStorageObject).Config.Id.Id)
	equal(t, []any{made.Name, made.CapacityBytes, made.Cbt}, []any{"restored", 64 * miB, false})
	content := make([]byte, 4)
	f, err := os.Open(made.Path)
	b.ok(err)
	defer f.Close()
	_, err = f.ReadAt(content, 5*miB)
	b.ok(err)
	equal(t, string(content), "kept")
}

func TestADiskWithSnapshotsIsNotDeleted(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(miB, false)
	taken := b.snapshot(d)
	task, err := b.manager.Delete(context.Background(), types.ID{Id: d.ID})
	b.ok(err)
	_, err = task.Wait(context.Background(), time.Minute)
	if err == nil || !strings.Contains(err.Error(), "InvalidState") {
		t.Fatalf("got %v", err)
	}
	b.deleteSnapshot(d, taken)
	task, err = b.manager.Delete(context.Background(), types.ID{Id: d.ID})
	b.finish(task, err)
	for _, gone := range []string{d.Path, strings.Replace(d.Path, "-flat", "", 1), strings.Replace(d.Path, "-flat", "-"+taken+"-snap", 1)} {
		if _, err := os.Lstat(gone); !os.IsNotExist(err) {
			t.Fatalf("%s is still there", gone)
		}
	}
	equal(t, len(b.v.state().Disks), 0)
}

func TestMetadataIsReplacedAndRemoved(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(miB, false)
	id := types.ID{Id: d.ID}
	for _, value := range []string{"one", "two"} {
		task, err := b.manager.UpdateMetadata(context.Background(), id, []types.KeyValue{{Key: "a", Value: value}, {Key: "b", Value: value}}, nil)
		b.finish(task, err)
	}
	task, err := b.manager.UpdateMetadata(context.Background(), id, nil, []string{"b"})
	b.finish(task, err)
	found, err := b.manager.RetrieveMetadata(context.Background(), id, nil, "")
	b.ok(err)
	equal(t, found, []types.KeyValue{{Key: "a", Value: "two"}})
}

func TestAnExtendedDiskGrowsOnDiskToo(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(miB, false)
	task, err := b.manager.ExtendDisk(context.Background(), types.ID{Id: d.ID}, 3)
	b.finish(task, err)
	info, err := os.Stat(d.Path)
	b.ok(err)
	equal(t, info.Size(), 3*miB)
	text, err := os.ReadFile(strings.Replace(d.Path, "-flat", "", 1))
	b.ok(err)
	if !strings.Contains(string(text), "RW 6144 VMFS") {
		t.Fatalf("the descriptor says %s", text)
	}
}

func TestSessionsEnd(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(miB, false)
	equal(t, len(b.v.sessions()), 1)
	b.ok(b.client.Logout(context.Background()))
	equal(t, len(b.v.sessions()), 0)
	b.faults("/vslm/sdk", query(d, "x", "0", "*"), "NotAuthenticated")
	b.client = b.login(password)
	equal(t, len(b.v.sessions()), 1)
	b.v.expireSessions()
	equal(t, len(b.v.sessions()), 0)
	b.faults("/vslm/sdk", query(d, "x", "0", "*"), "NotAuthenticated")
}

func TestOnlyTheCurrentPasswordLogsIn(t *testing.T) {
	b := newBench(t, wide())
	b.v.setPassword("changed")
	b.login("changed")
	target, _ := url.Parse(b.server.URL + "/sdk")
	target.User = url.UserPassword(user, password)
	if _, err := govmomi.NewClient(context.Background(), target, true); err == nil || !strings.Contains(err.Error(), "Login failure") {
		t.Fatalf("got %v", err)
	}
}

func TestAPlannedFaultHappensAsOftenAsAsked(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(miB, true)
	taken := b.snapshot(d)
	_, err := b.v.addFault(faultPlan{Method: "VslmQueryChangedDiskAreas", Fault: "InvalidArgument:snapshotId", Times: 2})
	b.ok(err)
	b.faults("/vslm/sdk", query(d, taken, "0", "*"), "<invalidProperty>snapshotId<")
	b.faults("/vslm/sdk", query(d, taken, "0", "*"), "<invalidProperty>snapshotId<")
	equal(t, len(b.areas(d, taken, "*")), 0)
	_, err = b.v.addFault(faultPlan{Method: "VslmCreateSnapshot", TaskFault: "InvalidState"})
	b.ok(err)
	task, err := b.manager.CreateSnapshot(context.Background(), types.ID{Id: d.ID}, "")
	b.ok(err)
	if _, err = task.Wait(context.Background(), time.Minute); err == nil {
		t.Fatal("the task succeeded")
	}
	equal(t, len(b.v.diskState(d.ID).Snapshots), 1)
	_, err = b.v.addFault(faultPlan{Method: "VslmCreateSnapshot_Task", Fault: "LostAnswer"})
	b.ok(err)
	if _, err = b.manager.CreateSnapshot(context.Background(), types.ID{Id: d.ID}, "unheard"); err == nil {
		t.Fatal("the answer came")
	}
	b.eventually(func() bool { return len(b.v.diskState(d.ID).Snapshots) == 2 })
}

func TestADelayedTaskRunsAndBlocksNobody(t *testing.T) {
	b := newBench(t, wide())
	d := b.disk(miB, false)
	b.v.plans.setDelay("VslmCreateSnapshot_Task", 2*time.Second)
	started := time.Now()
	var tasks []*vslm.Task
	for range 3 {
		task, err := b.manager.CreateSnapshot(context.Background(), types.ID{Id: d.ID}, "slow")
		b.ok(err)
		info, err := task.QueryInfo(context.Background())
		b.ok(err)
		equal(t, string(info.State), "running")
		tasks = append(tasks, task)
	}
	if took := time.Since(started); took > 1500*time.Millisecond {
		t.Fatalf("starting took %v", took)
	}
	for _, task := range tasks {
		b.finish(task, nil)
	}
	equal(t, len(b.v.diskState(d.ID).Snapshots), 3)
}

func TestTheCallsBeforeAPlannedFaultGoWell(t *testing.T) {
	b := newBench(t, wide())
	_, err := b.v.addFault(faultPlan{Method: "VslmCreateSnapshot", Fault: "TaskInProgress", After: 2})
	b.ok(err)
	answers := []bool{}
	for range 4 {
		answers = append(answers, b.v.plans.callFault("VslmCreateSnapshot_Task") != nil)
	}
	equal(t, answers, []bool{false, false, true, false})
	if _, err := b.v.addFault(faultPlan{Method: "x", Fault: "NotFound", After: -1}); err == nil {
		t.Fatal("a negative number of calls is no plan")
	}
}
