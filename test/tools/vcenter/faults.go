package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
	vslm "github.com/vmware/govmomi/vslm/types"
)

func invalidArgument(property string) types.BaseMethodFault {
	return &types.InvalidArgument{InvalidProperty: property}
}

func notFound() types.BaseMethodFault { return new(types.NotFound) }

func systemError(err error) types.BaseMethodFault {
	return &types.SystemError{Reason: err.Error()}
}

// The three ways in which change tracking answers "take a full backup", told apart by their message keys only.
const (
	noTrack          = "vim.hostd.vmsvc.cbt.noTrack"
	cannotGetChanges = "vim.hostd.vmsvc.cbt.cannotGetChanges"
)

func trackingFault(file, key, message string) types.BaseMethodFault {
	fault := &types.FileFault{File: file}
	fault.FaultMessage = []types.LocalizableMessage{{Key: key, Message: message}}
	return fault
}

// The faults that a test can ask for by name; what follows a colon is the property, message key or reason.
var faultsByName = map[string]func(detail string) types.BaseMethodFault{
	"FileFault":        func(key string) types.BaseMethodFault { return trackingFault("", key, "injected by a test") },
	"FileLocked":       func(string) types.BaseMethodFault { return new(types.FileLocked) },
	"InvalidArgument":  invalidArgument,
	"InvalidLogin":     func(string) types.BaseMethodFault { return new(types.InvalidLogin) },
	"InvalidState":     func(string) types.BaseMethodFault { return new(types.InvalidState) },
	"NoPermission":     func(id string) types.BaseMethodFault { return &types.NoPermission{PrivilegeId: id} },
	"NotAuthenticated": func(string) types.BaseMethodFault { return new(types.NotAuthenticated) },
	"NotFound":         func(string) types.BaseMethodFault { return notFound() },
	"RequestCanceled":  func(string) types.BaseMethodFault { return new(types.RequestCanceled) },
	"SystemError":      func(reason string) types.BaseMethodFault { return &types.SystemError{Reason: reason} },
	"TaskInProgress":   func(string) types.BaseMethodFault { return new(types.TaskInProgress) },
	"VslmSyncFault":    func(string) types.BaseMethodFault { return new(vslm.VslmSyncFault) },
}

func faultNamed(text string) (types.BaseMethodFault, error) {
	name, detail, _ := strings.Cut(text, ":")
	make, known := faultsByName[name]
	if !known {
		return nil, fmt.Errorf("unknown fault %q", text)
	}
	return make(detail), nil
}
