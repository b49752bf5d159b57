package runtimetest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A process is killed at a step, and the next run continues its work (A6).
func ExampleWorld() {
	p := &plan.Plan{
		Pipeline:    plan.Pipeline{Name: "shop"},
		Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages:      []plan.Stage{{Name: "first", Order: 1}, {Name: "second", Order: 2}},
		Services:    []plan.Service{{Name: "api", Stage: "first"}, {Name: "web", Stage: "second"}},
	}
	w := runtimetest.NewWorld()
	w.Locker.Expiry = time.Millisecond // of the lease of the dead process
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Deploy" && c.Subject == "web" {
			w.Die()
		}
		return nil
	}
	_, err := w.Runtime().Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: p})
	fmt.Println("died:", errors.Is(err, runtimetest.ErrDead))

	w.Hook = nil
	w.Revive()
	record, err := w.Runtime().Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: p, WaitLock: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range record.Services {
		fmt.Println(s.Service, s.State)
	}
	// Output:
	// died: true
	// api unchanged
	// web done
}
