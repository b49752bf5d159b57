package build

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestFlight makes many concurrent calls while the result changes: no call may get a result
// that is older than the call.
func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flight[int64]
		var version, runs atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				asked := version.Add(1)
				got, err := f.do(t.Context(), "k", func(context.Context) (int64, error) {
					runs.Add(1)
					v := version.Load()
					time.Sleep(3 * time.Millisecond)
					return v, nil
				})
				if err != nil || got < asked {
					t.Errorf("do = %d, %v, asked at version %d", got, err, asked)
				}
			})
		}
		wg.Wait()
		if n := runs.Load(); n > 4 {
			t.Errorf("the work was done %d times for those who asked within 7 ms, of 3 ms each", n)
		}
		if len(f.keys) != 0 {
			t.Errorf("%d keys are left", len(f.keys))
		}
	})
}

// TestFlightCancel cancels waiting callers.
func TestFlightCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flight[string]
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := false
		work := func(ctx context.Context) (string, error) {
			select {
			case <-ctx.Done():
				ended = true
				return "", context.Cause(ctx)
			case <-time.After(time.Minute):
				return "done", nil
			}
		}
		var wg sync.WaitGroup
		for range 3 { // one runs, two wait
			wg.Go(func() {
				if _, err := f.do(ctx, "k", work); !errors.Is(err, why) {
					t.Errorf("do = %v, want %v", err, why)
				}
			})
		}
		synctest.Wait()
		wg.Go(func() { // this one is not cancelled
			if got, err := f.do(t.Context(), "k", work); got != "done" || err != nil {
				t.Errorf("do = %q, %v", got, err)
			}
		})
		synctest.Wait()
		cancel(why)
		wg.Wait()
		if !ended {
			t.Error("work that nobody waits for went on")
		}
		if len(f.keys) != 0 {
			t.Errorf("%d keys are left", len(f.keys))
		}
	})
}
