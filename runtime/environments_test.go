package runtime_test

import (
	"errors"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestEnvironmentsAlone: what changes an environment's state needs nothing but a store
// and a locker.
func TestEnvironmentsAlone(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	app(p, 1, "one")
	_, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	envs := runtime.Environments{Store: w.Store, Locker: w.Locker}
	ctx := t.Context()
	runs, err := envs.Store.Runs(ctx, staging)
	must(t, err)
	must(t, envs.Skip(ctx, staging, "one"))
	must(t, envs.Unskip(ctx, staging, "one"))
	must(t, envs.Move(ctx, staging, "", "one"))
	if _, err := envs.Clone(ctx, runtime.CloneRequest{Source: staging, Name: "copy"}); err != nil {
		t.Errorf("Clone = %v", err)
	}
	if _, err := envs.Cancel(ctx, staging, "ana"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Cancel without a run = %v, want ErrNotFound", err)
	}
	if req, err := envs.Rollback(ctx, runtime.Request{Environment: staging, RollbackTo: runs[0].ID}); err != nil || req.Plan == nil {
		t.Errorf("Rollback = %+v, %v", req, err)
	}
}
