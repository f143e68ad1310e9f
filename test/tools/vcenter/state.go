package main

import (
	"sort"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// What the control endpoint tells of the stand-in's inside.
type state struct {
	Disks      []*diskState     `json:"fcds"`
	Datastores []datastoreState `json:"datastores"`
	Sessions   int              `json:"sessions"`
	Calls      map[string]int   `json:"calls"`
	Faults     []faultPlan      `json:"faults"`
}

type datastoreState struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type diskState struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	CapacityBytes int64             `json:"capacityBytes"`
	Datastore     string            `json:"datastore"`
	Path          string            `json:"path"`
	Cbt           bool              `json:"cbt"`
	Metadata      map[string]string `json:"metadata"`
	Snapshots     []snapshotState   `json:"snapshots"`
}

type snapshotState struct {
	ID          string    `json:"id"`
	Description string    `json:"description"`
	CreateTime  time.Time `json:"createTime"`
	ChangeID    string    `json:"changeId,omitempty"`
	Path        string    `json:"path"`
}

func (v *vcenter) state() state {
	s := state{Disks: []*diskState{}, Sessions: len(v.sessions()), Calls: v.plans.counts(), Faults: v.plans.pending()}
	for _, datastore := range v.datastores() {
		s.Datastores = append(s.Datastores, datastoreState{datastore.Self.Value, datastore.Name})
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for id := range v.disks {
		if seen := v.describe(id); seen != nil {
			s.Disks = append(s.Disks, seen)
		}
	}
	sort.Slice(s.Disks, func(a, b int) bool { return s.Disks[a].ID < s.Disks[b].ID })
	return s
}

func (v *vcenter) diskState(id string) *diskState {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.describe(id)
}

// The caller holds v.mu.
func (v *vcenter) describe(id string) *diskState {
	entry, datastore := v.entry(id)
	d := v.disks[id]
	if entry == nil || d == nil {
		return nil
	}
	seen := &diskState{
		ID: id, Name: entry.Config.Name, CapacityBytes: entry.Config.CapacityInMB * miB, Datastore: datastore.Value,
		Path: d.flat(), Cbt: d.tracker != nil, Metadata: map[string]string{}, Snapshots: []snapshotState{},
	}
	for _, kv := range entry.Metadata {
		seen.Metadata[kv.Key] = kv.Value
	}
	for _, info := range entry.Snapshots {
		seen.Snapshots = append(seen.Snapshots, describeSnapshot(info, d.snapshot(info.Id.Id)))
	}
	return seen
}

func describeSnapshot(info types.VStorageObjectSnapshotInfoVStorageObjectSnapshot, known *snapshot) snapshotState {
	return snapshotState{info.Id.Id, info.Description, info.CreateTime, known.changeID(), known.file()}
}
