package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// report tells what went wrong, on standard error: what, where, why, and what
// to do next.
func (a *app) report(err error) {
	a.hide()
	var (
		usage       *usageError
		file        *interp.Error
		run         *runFailure
		failed      *runtime.RunError
		locked      *runtime.LockedError
		unavailable *local.UnavailableError
	)
	switch {
	case errors.Is(err, errChanges):
		// said by the status alone
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "error: %v\nsee: %s --help\n", usage, usage.command)
	case errors.As(err, &file):
		fmt.Fprintln(a.stderr, strings.TrimRight(file.Error(), "\n"))
	case errors.As(err, &run) && errors.As(err, &failed):
		a.reportServices(run, failed)
	case errors.As(err, &locked):
		a.say(err, "wait for it with --wait-lock")
	case errors.As(err, &unavailable):
		a.say(err, unavailable.Next)
	default:
		a.say(err, advice(err))
	}
}

// say writes an error that is not about services.
func (a *app) say(err error, next string) {
	fmt.Fprintf(a.stderr, "error: %v\n", err)
	if next != "" {
		fmt.Fprintf(a.stderr, "next: %s\n", next)
	}
}

// reportServices tells what went wrong with services, and, if the run ended for
// another reason, that.
func (a *app) reportServices(run *runFailure, failed *runtime.RunError) {
	if e := ui.Failures(a.stderr, run.plan, run.key.Namespace(), failed.Failed, a.color()); e != nil {
		fmt.Fprintf(a.stderr, "error: %v\n", e)
	}
	if whole, ok := strings.CutSuffix(run.Error(), "; "+failed.Error()); ok {
		fmt.Fprintf(a.stderr, "\n")
		a.say(errors.New(whole), advice(run.error))
	}
}

// advice is what to do next about an error of which no more is known than its kind.
func advice(err error) string {
	var stop *interrupted
	text := strings.ToLower(err.Error())
	switch {
	case errors.As(err, &stop):
		return "run again to go on: nothing is half done, and what is done is not done twice"
	case strings.Contains(text, "no space left on device"):
		return "make room on the disk and run again"
	case errors.Is(err, runtime.ErrTimeout):
		return "give it more time with --timeout, or look at what it waited for"
	case errors.Is(err, runtime.ErrLeaseLost):
		return "run again: another run may have taken the environment over, or the cluster was out of reach"
	case strings.Contains(text, "forbidden"):
		return "use a kubeconfig or a --context with more rights"
	case strings.Contains(text, "connection refused"), strings.Contains(text, "no such host"), strings.Contains(text, "i/o timeout"):
		return "check that the server runs and can be reached from here"
	}
	return ""
}
