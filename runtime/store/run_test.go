package store

import (
	"errors"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestRun has runs keep their state in a cluster: an environment from its first
// deploy to its end, with a process that dies on the way.
func TestRun(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	w := runtimetest.NewWorld()
	p := &plan.Plan{
		Version:     plan.Version,
		Pipeline:    plan.Pipeline{Name: key.Pipeline},
		Environment: plan.EnvironmentRef{Name: key.Name, Kind: "environment"},
		Stages:      []plan.Stage{{Name: "one", Order: 1}},
		Services:    []plan.Service{{Name: "api", Stage: "one"}, {Name: "web", Stage: "one"}},
	}
	as := func(s *process) *runtime.Runtime {
		rt := w.Runtime()
		rt.Store, rt.Locker = s, s
		return rt
	}
	opts := Options{LeaseDuration: leaseDuration}

	// The first process dies in the middle.
	dead := start(t, opts)
	w.Takes = func(op, subject string) time.Duration {
		if subject == "web" {
			dead.kill()
		}
		return 0
	}
	record, err := as(dead).Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p, By: "ana@laptop"})
	if err == nil || record == nil {
		t.Fatalf("Run of a process that died = %v, %v", record, err)
	}
	w.Takes = nil

	// While its lease holds, the next is refused, or waits.
	alive := start(t, opts)
	_, err = as(alive).Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p})
	var locked *runtime.LockedError
	if !errors.As(err, &locked) || locked.Holder.By != "ana@laptop" {
		t.Errorf("Run = %v, want a LockedError", err)
	}
	record, err = as(alive).Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p, By: "ben@server", WaitLock: true})
	if err != nil {
		t.Fatalf("Run after a process that died = %v", err)
	}
	runs, err := alive.Runs(ctx, key)
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs are kept, %v", len(runs), err)
	}
	if last, first := runs[0], runs[1]; last.ID != record.ID || last.By != "ben@server" || last.End.IsZero() || !first.End.IsZero() || first.Services[0].State != runtime.Waiting {
		t.Errorf("kept %+v and %+v", last, first)
	}

	// Neither the Pipelinefile nor the first machine is needed for the rest.
	other := as(start(t, opts))
	if _, err := other.Run(ctx, runtime.Request{Action: runtime.Stop, Environment: key}); err != nil {
		t.Errorf("stop = %v", err)
	}
	if _, err := other.Run(ctx, runtime.Request{Action: runtime.Delete, Environment: key}); err != nil {
		t.Errorf("delete = %v", err)
	}
	if _, err := other.Run(ctx, runtime.Request{Action: runtime.Stop, Environment: key}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("stop of what is deleted = %v, want ErrNotFound", err)
	}
	if left := objects(t, key); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
