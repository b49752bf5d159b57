package sched

import (
	"context"
	"fmt"
	"runtime/debug"
)

// work does the work of t and sends its end. A panic becomes an error, and so
// does runtime.Goexit, because Run would otherwise wait forever.
func work(ctx context.Context, t *Task, index int, reports chan<- report) {
	e := report{index: index, what: ended, err: fmt.Errorf("%s: its goroutine was ended", t.Name)}
	defer func() {
		if v := recover(); v != nil {
			e.err = &PanicError{t.Name, v, debug.Stack()}
		}
		reports <- e
	}()
	e.err = t.Do(context.WithValue(ctx, slotKey{}, &slot{index, reports}))
}

// A slot is how a running task reports about its slot.
type slot struct {
	index   int
	reports chan<- report
}

// slotKey is the key of the slot in the context of a running task.
type slotKey struct{}

// Leave gives back the slot of the running task whose context ctx is, or is derived from, so that
// another one can start while this one only waits. The task may end without a slot, and calls
// [Return] before it does more than that. A class in which many tasks have left keeps the slot. With
// another context, Leave and Return do nothing. They must not be called concurrently.
func Leave(ctx context.Context) {
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		s.reports <- report{index: s.index, what: left}
	}
}

// Return waits until the running task has a slot again. It precedes tasks that have not started.
func Return(ctx context.Context) {
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		taken := make(chan struct{})
		s.reports <- report{index: s.index, what: wants, taken: taken}
		<-taken
	}
}

// A PanicError is a panic in a task's work, recovered so that the other tasks can
// end normally.
type PanicError struct {
	Task  string
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("%s: panic: %v", e.Task, e.Value)
}

// Unwrap returns the value of the panic if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
