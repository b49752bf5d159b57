package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// The exit statuses (C2).
const (
	statusDone        = 0
	statusFailed      = 1
	statusChanges     = 2
	statusFile        = 3
	statusLocked      = 4
	statusTimeout     = 5
	statusUsage       = 64
	statusHangup      = 129
	statusInterrupted = 130
	statusTerminated  = 143
)

// A usageError is an invalid command line.
type usageError struct {
	command string // whose help explains it, such as "pipe run"
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// errChanges means that a run would change something; it is not a failure (C2).
var errChanges = errors.New("there is something to do")

// status returns the exit status for the error of a command. Exit statuses are
// decided only here.
func status(ctx context.Context, err error) int {
	var (
		stop    *interrupted
		file    *interp.Error
		locked  *runtime.LockedError
		run     *runtime.RunError
		usage   *usageError
		cancel  *runtime.CancelledError
		exec    *reach.ExitError
		state   *runtime.ElsewhereError
		causeOf = context.Cause(ctx)
	)
	switch {
	case err == nil:
		return statusDone
	case errors.As(causeOf, &stop), errors.As(err, &stop):
		return interruptStatus(stop.signal)
	case errors.As(err, &cancel):
		return statusInterrupted
	case errors.As(err, &exec):
		return exec.Status
	case errors.Is(err, errChanges):
		return statusChanges
	case errors.As(err, &usage), errors.As(err, &state):
		return statusUsage
	case errors.As(err, &file):
		return statusFile
	case errors.As(err, &locked):
		return statusLocked
	case errors.As(err, &run):
		return runStatus(err, run)
	case errors.Is(err, runtime.ErrTimeout):
		return statusTimeout
	}
	return statusFailed
}

// runStatus returns the status of a run in which services failed: timed out, if
// every failure is a timeout of a service or of the run.
func runStatus(err error, run *runtime.RunError) int {
	timeouts := 0
	for _, f := range run.Failed {
		if errors.Is(f.Err, runtime.ErrTimeout) {
			timeouts++
		}
	}
	if timeouts == len(run.Failed) || timeouts == 0 && errors.Is(err, runtime.ErrTimeout) {
		return statusTimeout
	}
	return statusFailed
}

func interruptStatus(sig os.Signal) int {
	switch sig {
	case syscall.SIGTERM:
		return statusTerminated
	case syscall.SIGHUP:
		return statusHangup
	}
	return statusInterrupted
}
