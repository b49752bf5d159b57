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

// Leave gives back the slot of a running task, so that another one can start while this one only
// waits. ctx must be the context of the task, or derived from it; with another one, Leave and
// [Return] do nothing. The task must call Return before it works again; it may also end without a
// slot. If three tasks for each slot of the class have left already, the task keeps its slot. One
// task must not call Leave and Return concurrently.
func Leave(ctx context.Context) {
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		s.reports <- report{index: s.index, what: left}
	}
}

// Return waits until the running task has a slot again, also if ctx is done. It takes precedence
// over tasks that have not started. If the task has a slot, Return does nothing.
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
