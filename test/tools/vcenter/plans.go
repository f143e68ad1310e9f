package main

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// What a test wants to go wrong with the next calls of a method. One of the first three is set.
type faultPlan struct {
	Method string `json:"method"`
	// The call is answered with this fault and does nothing. Besides SOAP faults there are "Reset" (the connection breaks before
	// the call), "LostAnswer" (the call takes place, then the connection breaks) and "HTTP:<status>".
	Fault string `json:"fault,omitempty"`
	// The call starts a task, and the task does nothing and ends with this fault.
	TaskFault string `json:"taskFault,omitempty"`
	// CNS only: the task succeeds, and the fault is in its result for the volume.
	VolumeFault string `json:"volumeFault,omitempty"`
	Times       int    `json:"times"`
	// So many calls that the plan is for go well before.
	After int `json:"after,omitempty"`
}

func (p faultPlan) check() error {
	set := 0
	for _, text := range []string{p.Fault, p.TaskFault, p.VolumeFault} {
		if text == "" {
			continue
		}
		set++
		if text == p.Fault && isTransportFault(text) {
			if status, ok := strings.CutPrefix(text, "HTTP:"); ok && !httpError.MatchString(status) {
				return fmt.Errorf("%s is not an HTTP error", text)
			}
			continue
		}
		if _, err := faultNamed(text); err != nil {
			return err
		}
	}
	if p.Method == "" || set != 1 || p.After < 0 {
		return fmt.Errorf("a fault needs a method and one of fault, taskFault and volumeFault")
	}
	return nil
}

var httpError = regexp.MustCompile(`^[45][0-9]{2}$`)

func isTransportFault(text string) bool {
	return text == "Reset" || text == "LostAnswer" || strings.HasPrefix(text, "HTTP:")
}

// Faults and delays that tests have asked for, and how often each method was called.
type plans struct {
	mu     sync.Mutex
	faults []*faultPlan
	delays map[string]time.Duration
	calls  map[string]int
}

func newPlans() *plans {
	return &plans{delays: map[string]time.Duration{}, calls: map[string]int{}}
}

// Tests may name a task's method with or without its suffix.
func plainName(method string) string { return strings.TrimSuffix(method, "_Task") }

func (p *plans) addFault(plan faultPlan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	plan.Method = plainName(plan.Method)
	plan.Times = max(plan.Times, 1)
	p.faults = append(p.faults, &plan)
}

// Uses up one fault of the first plan for this method in which pick finds something.
func (p *plans) take(method string, pick func(*faultPlan) string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, plan := range p.faults {
		if plan.Method != plainName(method) || plan.Times == 0 || pick(plan) == "" {
			continue
		}
		if plan.After > 0 {
			plan.After--
			return ""
		}
		plan.Times--
		return pick(plan)
	}
	return ""
}

func (p *plans) takeFault(method string, pick func(*faultPlan) string) types.BaseMethodFault {
	text := p.take(method, pick)
	if text == "" {
		return nil
	}
	fault, _ := faultNamed(text) // was checked when the plan was made
	return fault
}

func (p *plans) callFault(method string) types.BaseMethodFault {
	return p.takeFault(method, func(plan *faultPlan) string {
		if isTransportFault(plan.Fault) {
			return ""
		}
		return plan.Fault
	})
}

func (p *plans) transportFault(method string) string {
	return p.take(method, func(plan *faultPlan) string {
		if !isTransportFault(plan.Fault) {
			return ""
		}
		return plan.Fault
	})
}

func (p *plans) taskFault(method string) types.BaseMethodFault {
	return p.takeFault(method, func(plan *faultPlan) string { return plan.TaskFault })
}

func (p *plans) volumeFault(method string) types.BaseMethodFault {
	return p.takeFault(method, func(plan *faultPlan) string { return plan.VolumeFault })
}

func (p *plans) clearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// What is still to come.
func (p *plans) pending() []faultPlan {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := []faultPlan{}
	for _, plan := range p.faults {
		if plan.Times > 0 {
			left = append(left, *plan)
		}
	}
	return left
}

// Delays the answers of a method, or how long its tasks run. Zero ends it.
func (p *plans) setDelay(method string, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delay == 0 {
		delete(p.delays, plainName(method))
		return
	}
	p.delays[plainName(method)] = delay
}

func (p *plans) clearDelays() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.delays)
}

func (p *plans) delay(method string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delays[plainName(method)]
}

func (p *plans) count(method string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[method]++
}

func (p *plans) counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.calls)
}

func (p *plans) forgetCounts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.calls)
}
