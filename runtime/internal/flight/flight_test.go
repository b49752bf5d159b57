package flight_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/flight"
)

// TestFlight makes many concurrent calls while the result changes: no call may get a result
// that is older than the call.
func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := flight.Group[int64]{Fresh: true}
		var version, runs atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				asked := version.Add(1)
				got, err := f.Do(t.Context(), "k", nil, func(context.Context, runtime.Emit) (int64, error) {
					runs.Add(1)
					v := version.Load()
					time.Sleep(3 * time.Millisecond)
					return v, nil
				})
				if err != nil || got < asked {
					t.Errorf("Do = %d, %v, asked at version %d", got, err, asked)
				}
			})
		}
		wg.Wait()
		if n := runs.Load(); n > 4 {
			t.Errorf("the work was done %d times for those who asked within 7 ms, of 3 ms each", n)
		}
		if n := f.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

// TestFlightCancel cancels waiting callers.
func TestFlightCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := flight.Group[string]{Fresh: true}
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := false
		work := func(ctx context.Context, _ runtime.Emit) (string, error) {
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
				if _, err := f.Do(ctx, "k", nil, work); !errors.Is(err, why) {
					t.Errorf("Do = %v, want %v", err, why)
				}
			})
		}
		synctest.Wait()
		wg.Go(func() { // this one is not cancelled
			if got, err := f.Do(t.Context(), "k", nil, work); got != "done" || err != nil {
				t.Errorf("Do = %q, %v", got, err)
			}
		})
		synctest.Wait()
		cancel(why)
		wg.Wait()
		if !ended {
			t.Error("work that nobody waits for went on")
		}
		if n := f.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

// TestShared: callers that arrive during the work share its result and its events, and the
// work continues when the caller that started it leaves.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flight.Group[int]
		why, runs := errors.New("why"), 0
		work := func(ctx context.Context, emit runtime.Emit) (int, error) {
			runs++
			time.Sleep(time.Second)
			emit(runtime.Retried{Again: runs})
			return runs, ctx.Err()
		}
		var told [3]int
		var wg sync.WaitGroup
		call := func(ctx context.Context, n int, want error) {
			wg.Go(func() {
				got, err := f.Do(ctx, "k", func(runtime.Body) { told[n]++ }, work)
				if !errors.Is(err, want) || err == nil && got != 1 {
					t.Errorf("caller %d: Do = %d, %v", n, got, err)
				}
			})
			synctest.Wait()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		call(ctx, 0, why)
		call(t.Context(), 1, nil)
		call(t.Context(), 2, nil)
		cancel(why)
		wg.Wait()
		if want := [3]int{0, 1, 1}; told != want || runs != 1 {
			t.Errorf("events %v, want %v; the work was done %d times", told, want, runs)
		}
	})
}

// TestAbandoned: a caller that arrives while cancelled work ends gets a new execution, which
// starts after that.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flight.Group[string]
		why, running := errors.New("why"), 0
		work := func(ctx context.Context, _ runtime.Emit) (string, error) {
			if running++; running != 1 {
				t.Error("two executions overlap")
			}
			defer func() { running-- }()
			time.Sleep(time.Second) // it does not notice that it is cancelled
			return "done", ctx.Err()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := f.Do(ctx, "k", nil, work); !errors.Is(err, why) {
				t.Errorf("Do = %v, want %v", err, why)
			}
		})
		synctest.Wait()
		cancel(why)
		synctest.Wait()
		if got, err := f.Do(t.Context(), "k", nil, work); got != "done" || err != nil {
			t.Errorf("Do = %q, %v", got, err)
		}
		wg.Wait()
	})
}

// TestFirstEvent: the caller that starts the work receives its first event, however early
// that is emitted.
func TestFirstEvent(t *testing.T) {
	var f flight.Group[int]
	var wg sync.WaitGroup
	for i := range 5000 {
		wg.Go(func() {
			events := 0
			_, err := f.Do(t.Context(), fmt.Sprint(i), func(runtime.Body) { events++ }, func(_ context.Context, emit runtime.Emit) (int, error) {
				emit(runtime.Retried{What: "look up redis:7", Again: 1})
				return 0, nil
			})
			if err != nil || events != 1 {
				t.Errorf("call %d: %d events, %v; want one", i, events, err)
			}
		})
	}
	wg.Wait()
}
