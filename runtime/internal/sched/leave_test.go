package sched

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// runAll runs tasks of one class, each of which must succeed.
func runAll(t *testing.T, slots int, tasks ...*Task) {
	t.Helper()
	results, err := Run(t.Context(), tasks, Options{Limits: []int{slots}})
	if err != nil || count(results, Done) != len(tasks) {
		t.Errorf("Run = %v, %v", results, err)
	}
}

// TestLeave: another task starts when one has left, and the one that returns gets a slot before
// tasks that have not started. A task that ends without a slot frees none.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		holds := func(name string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
		}
		do := func(name string, work func(context.Context)) *Task {
			return &Task{Name: name, Do: func(ctx context.Context) error {
				holds(name)
				work(ctx)
				return nil
			}}
		}
		var slot sync.Mutex
		sleep := func(context.Context) {
			if !slot.TryLock() {
				t.Error("two tasks have the only slot")
				return
			}
			defer slot.Unlock()
			time.Sleep(time.Minute)
		}
		runAll(t, 1,
			do("returns", func(ctx context.Context) {
				Leave(ctx)
				Leave(ctx) // has no effect
				time.Sleep(time.Second)
				Return(ctx)
				Return(ctx) // has no effect
				holds("returned")
				sleep(ctx)
			}),
			do("ends", func(ctx context.Context) {
				Leave(ctx)
				time.Sleep(time.Second)
			}),
			do("a", sleep), do("b", sleep), do("c", sleep))
		if want := []string{"returns", "ends", "a", "returned", "b", "c"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
	})
}

// TestLeaveMany: when many tasks have left, the next ones keep their slots, and return without
// waiting for one.
func TestLeaveMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 2
		var running, most atomic.Int32
		var tasks []*Task
		for range 20 {
			tasks = append(tasks, &Task{Name: "task", Do: func(ctx context.Context) error {
				running.Add(1)
				Leave(ctx)
				time.Sleep(time.Second)
				most.Store(max(most.Load(), running.Load()))
				Return(ctx)
				running.Add(-1)
				return nil
			}})
		}
		runAll(t, slots, tasks...)
		if want := int32(slots + maxAway*slots); most.Load() != want {
			t.Errorf("%d tasks ran at the same time, want %d", most.Load(), want)
		}
	})
}

// TestLeaveCancelled: tasks that have left when the run is cancelled return, and end.
func TestLeaveCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		waits := func(ctx context.Context) error {
			Leave(ctx)
			<-ctx.Done()
			Return(ctx)
			return ctx.Err()
		}
		results, err := Run(ctx, []*Task{{Name: "a", Do: waits}, {Name: "b", Do: waits}, {Name: "c", Do: waits}}, Options{Limits: []int{1}})
		if err != nil || count(results, Failed) != 3 {
			t.Errorf("Run = %v, %v", results, err)
		}
	})
}

// TestLeaveElsewhere: without a task, nothing happens.
func TestLeaveElsewhere(t *testing.T) {
	Leave(t.Context())
	Return(t.Context())
}
