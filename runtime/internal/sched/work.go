package sched

import (
	"context"
	"fmt"
	"runtime/debug"
)

// work does the work of t and sends its end. A panic becomes an error, and so
// does runtime.Goexit, because Run would otherwise wait forever.
func work(ctx context.Context, t *Task, index int, ended chan<- end) {
	e := end{index, fmt.Errorf("%s: its goroutine was ended", t.Name)}
	defer func() {
		if v := recover(); v != nil {
			e.err = &PanicError{t.Name, v, debug.Stack()}
		}
		ended <- e
	}()
	e.err = t.Do(ctx)
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
