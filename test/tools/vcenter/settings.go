package main

import (
	"slices"

	"github.com/vmware/govmomi/vim25/types"
)

// Sets keys, also ones that exist already (the simulator loses those), and removes others.
func (v *vcenter) updateMetadata(id string, set []types.KeyValue, remove []string) (types.AnyType, types.BaseMethodFault) {
	return v.withDisk(id, func(*disk) (types.AnyType, types.BaseMethodFault) {
		v.mu.Lock()
		defer v.mu.Unlock()
		entry, _ := v.entry(id)
		kept := slices.DeleteFunc(slices.Clone(entry.Metadata), func(kv types.KeyValue) bool {
			replaced := slices.ContainsFunc(set, func(other types.KeyValue) bool { return other.Key == kv.Key })
			return replaced || slices.Contains(remove, kv.Key)
		})
		entry.Metadata = append(kept, set...)
		return nil, nil
	})
}

// Sets or clears control flags; an empty list clears them all, and sets none.
func (v *vcenter) controlFlags(id string, flags []string, on bool) types.BaseMethodFault {
	all := types.VslmVStorageObjectControlFlag("").Strings()
	for _, flag := range flags {
		if !slices.Contains(all, flag) {
			return invalidArgument("controlFlags")
		}
	}
	if len(flags) == 0 && !on {
		flags = all
	}
	_, fault := v.withDisk(id, func(d *disk) (types.AnyType, types.BaseMethodFault) {
		v.mu.Lock()
		defer v.mu.Unlock()
		entry, _ := v.entry(id)
		for _, flag := range flags {
			switch types.VslmVStorageObjectControlFlag(flag) {
			case types.VslmVStorageObjectControlFlagKeepAfterDeleteVm:
				entry.Config.KeepAfterDeleteVm = types.NewBool(on)
			case types.VslmVStorageObjectControlFlagDisableRelocation:
				entry.Config.RelocationDisabled = types.NewBool(on)
			case types.VslmVStorageObjectControlFlagEnableChangedBlockTracking:
				entry.Config.ChangedBlockTrackingEnabled = types.NewBool(on)
				d.track(on)
			}
		}
		return nil, nil
	})
	return fault
}

// Tracking that is switched off forgets; switched on again it has a new id, so that older changeIds are refused.
func (d *disk) track(on bool) {
	if !on {
		d.tracker = nil
		return
	}
	if d.tracker == nil {
		d.tracker = newTracker()
	}
}
