package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// The test-only side door: JSON over plain HTTP on loopback. It is no part of what a vCenter offers.
func (v *vcenter) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { reply(w, v.state()) })
	mux.HandleFunc("POST /disks", accept(v.addDisk))
	mux.HandleFunc("DELETE /disks/{id}", v.dropDisk)
	mux.HandleFunc("POST /faults", accept(v.addFault))
	mux.HandleFunc("DELETE /faults", do(v.plans.clearFaults))
	mux.HandleFunc("POST /delays", accept(v.addDelay))
	mux.HandleFunc("DELETE /delays", do(v.plans.clearDelays))
	mux.HandleFunc("DELETE /calls", do(v.plans.forgetCounts))
	mux.HandleFunc("POST /sessions/expire", do(v.expireSessions))
	mux.HandleFunc("POST /password", accept(v.changePassword))
	return mux
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

func do(act func()) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		act()
		reply(w, struct{}{})
	}
}

// Reads a JSON body strictly: a misspelled field is an error, not a wish that nobody hears.
func accept[T any](act func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body T
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&body); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer, err := act(body)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		reply(w, answer)
	}
}

type diskRequest struct {
	Name          string           `json:"name"`
	CapacityBytes int64            `json:"capacityBytes"`
	Cbt           bool             `json:"cbt"`
	Datastore     string           `json:"datastore"` // a reference such as datastore-59; the first one by default
	Metadata      []types.KeyValue `json:"metadata"`
}

func (v *vcenter) addDisk(r diskRequest) (any, error) {
	if r.CapacityBytes <= 0 || r.CapacityBytes%miB != 0 {
		return nil, errors.New("capacityBytes has to be a positive multiple of 1 MiB")
	}
	datastore := types.ManagedObjectReference{Type: "Datastore", Value: r.Datastore}
	if r.Datastore == "" {
		datastore = v.datastores()[0].Self
	}
	created, fault := v.createDisk(types.VslmCreateSpec{
		Name:              r.Name,
		KeepAfterDeleteVm: types.NewBool(true),
		CapacityInMB:      r.CapacityBytes / miB,
		BackingSpec: &types.VslmCreateSpecDiskFileBackingSpec{
			VslmCreateSpecBackingSpec: types.VslmCreateSpecBackingSpec{Datastore: datastore},
			ProvisioningType:          string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeThin),
		},
	})
	if fault != nil {
		return nil, fmt.Errorf("create disk: %T %+v", fault, fault)
	}
	id := created.Config.Id.Id
	if _, fault := v.updateMetadata(id, r.Metadata, nil); fault != nil {
		return nil, fmt.Errorf("set metadata: %T", fault)
	}
	if r.Cbt {
		flags := []string{string(types.VslmVStorageObjectControlFlagEnableChangedBlockTracking)}
		if fault := v.controlFlags(id, flags, true); fault != nil {
			return nil, fmt.Errorf("switch change tracking on: %T", fault)
		}
	}
	return v.diskState(id), nil
}

func (v *vcenter) datastores() []*simulator.Datastore {
	var all []*simulator.Datastore
	for _, found := range v.vim().Map.All("Datastore") {
		all = append(all, found.(*simulator.Datastore))
	}
	sort.Slice(all, func(a, b int) bool { return all[a].Name < all[b].Name })
	return all
}

// Removes a disk behind the vCenter's clients' backs, with its snapshots.
func (v *vcenter) dropDisk(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	state := v.diskState(id)
	if state == nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("no disk %s", id))
		return
	}
	for _, s := range state.Snapshots {
		if _, fault := v.deleteSnapshot(id, s.ID); fault != nil {
			refuse(w, http.StatusConflict, fmt.Errorf("delete snapshot %s: %T", s.ID, fault))
			return
		}
	}
	if _, fault := v.deleteDisk(id); fault != nil {
		refuse(w, http.StatusConflict, fmt.Errorf("delete disk: %T", fault))
		return
	}
	reply(w, struct{}{})
}

func (v *vcenter) addFault(plan faultPlan) (any, error) {
	if err := plan.check(); err != nil {
		return nil, err
	}
	v.plans.addFault(plan)
	return struct{}{}, nil
}

type delayRequest struct {
	Method string `json:"method"`
	Ms     int64  `json:"ms"`
}

func (v *vcenter) addDelay(r delayRequest) (any, error) {
	if r.Method == "" || r.Ms < 0 {
		return nil, errors.New("a delay needs a method and ms")
	}
	v.plans.setDelay(r.Method, time.Duration(r.Ms)*time.Millisecond)
	return struct{}{}, nil
}

type passwordRequest struct {
	Password string `json:"password"`
}

func (v *vcenter) changePassword(r passwordRequest) (any, error) {
	if r.Password == "" {
		return nil, errors.New("the password is empty")
	}
	v.setPassword(r.Password)
	return struct{}{}, nil
}
