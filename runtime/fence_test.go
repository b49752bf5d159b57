package runtime_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestFence: what a driver still writes after a cancellation waits at the fence
// while it is not sure that the lease is held, and is refused when it is lost.
func TestFence(t *testing.T) {
	if err := runtime.Fence(t.Context()); err != nil {
		t.Errorf("Fence of what is under no lease = %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		before, after := errors.New("not asked"), error(nil)
		w.Hook = func(ctx context.Context, c runtimetest.Call) error {
			if c.Op == "Deployer.Deploy" {
				before = runtime.Fence(ctx)
				w.Locker.Lose(staging)
				after = runtime.Fence(context.WithoutCancel(ctx))
				<-ctx.Done()
				if err := runtime.Fence(ctx); !errors.Is(err, runtime.ErrLeaseLost) {
					t.Errorf("Fence of what was cancelled for the lease = %v", err)
				}
				return context.Cause(ctx)
			}
			return nil
		}
		if _, err := run(t, w, runtime.Request{Plan: oneSlow(), Timeout: time.Hour}); !errors.Is(err, runtime.ErrLeaseLost) {
			t.Errorf("Run = %v", err)
		}
		if before != nil || !errors.Is(after, runtime.ErrLeaseLost) {
			t.Errorf("Fence = %v with the lease and %v without it", before, after)
		}
	})
}
