package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"
	"github.com/vmware/govmomi/vslm/methods"
	vslmtypes "github.com/vmware/govmomi/vslm/types"
)

// Something that ends with a result or with a fault.
type operation func() (types.AnyType, types.BaseMethodFault)

// Starts a task in the simulator's list of tasks. A test may have asked for it to take its time or to fail.
// The simulator runs the tasks of one entity one after the other, and makes even the caller wait: so each has an entity to itself.
func (v *vcenter) start(ctx *simulator.Context, method string, run operation) types.ManagedObjectReference {
	delay, planned := v.plans.delay(method), v.plans.taskFault(method)
	entity := types.ManagedObjectReference{Type: "VStorageObject", Value: uuid.NewString()}
	task := simulator.CreateTask(entity, plainName(method), func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		time.Sleep(delay)
		if planned != nil {
			return nil, planned
		}
		result, fault := run()
		if fault != nil {
			return nil, fault // and not a typed nil for a result
		}
		return result, nil
	})
	return task.Run(ctx)
}

// A task as /vslm/sdk shows it, with a reference of its own type.
func (v *vcenter) startVslm(ctx *simulator.Context, method string, run operation) types.ManagedObjectReference {
	name := plainName(strings.TrimPrefix(method, "Vslm"))
	task := &vslmTask{
		ManagedObjectReference: types.ManagedObjectReference{Type: "VslmTask", Value: v.start(ctx, method, run).Value},
		descriptionID:          "com.vmware.cns.vslm.tasks." + string(unicode.ToLower(rune(name[0]))) + name[1:],
		user:                   ctx.Session.UserName,
	}
	return v.service.Context.For(vslm.Path).Map.Put(task).Reference()
}

type vslmTask struct {
	types.ManagedObjectReference
	descriptionID string
	user          string
}

func (t *vslmTask) info(ctx *simulator.Context) types.TaskInfo {
	vim := ctx.For("/sdk")
	ref := types.ManagedObjectReference{Type: "Task", Value: t.Value}
	task := vim.Map.Get(ref).(*simulator.Task)
	unlock := vim.Map.AcquireLock(vim, ref)
	defer unlock()
	return task.Info
}

func (t *vslmTask) VslmQueryInfo(ctx *simulator.Context, _ *vslmtypes.VslmQueryInfo) soap.HasFault {
	info := t.info(ctx)
	return &methods.VslmQueryInfoBody{Res: &vslmtypes.VslmQueryInfoResponse{Returnval: vslmtypes.VslmTaskInfo{
		Key:           t.Value,
		Task:          t.ManagedObjectReference,
		DescriptionId: t.descriptionID,
		State:         vslmtypes.VslmTaskInfoState(info.State),
		Error:         info.Error,
		Result:        info.Result,
		Reason:        &vslmtypes.VslmTaskReasonUser{UserName: t.user},
		QueueTime:     info.QueueTime,
		StartTime:     info.StartTime,
		CompleteTime:  info.CompleteTime,
	}}}
}

// The result of a task that has succeeded; the error of one that has not; InvalidState while it runs.
func (t *vslmTask) VslmQueryTaskResult(ctx *simulator.Context, _ *vslmtypes.VslmQueryTaskResult) soap.HasFault {
	body := new(methods.VslmQueryTaskResultBody)
	info := t.info(ctx)
	switch info.State {
	case types.TaskInfoStateSuccess:
		body.Res = &vslmtypes.VslmQueryTaskResultResponse{Returnval: info.Result}
	case types.TaskInfoStateError:
		body.Fault_ = simulator.Fault(fmt.Sprintf("task %s has failed", t.Value), info.Error.Fault)
	default:
		body.Fault_ = simulator.Fault("the task has not ended", new(types.InvalidState))
	}
	return body
}

func (t *vslmTask) VslmCancelTask(*simulator.Context, *vslmtypes.VslmCancelTask) soap.HasFault {
	return &methods.VslmCancelTaskBody{Fault_: simulator.Fault("the task cannot be cancelled", new(types.NotSupported))}
}
