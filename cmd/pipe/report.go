package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// report writes an error to standard error: what, where, why, and what to do
// next. If progress is JSON, so is the error: one event per line.
func (a *app) report(err error) {
	a.hide()
	var b strings.Builder
	explain(&b, err, a.color() && !a.json)
	if !a.json {
		fmt.Fprint(a.stderr, b.String())
		return
	}
	view := ui.New(ui.Options{Mode: ui.JSON, Out: a.stderr, Now: a.now})
	for line := range strings.Lines(b.String()) {
		view.Note(strings.TrimRight(line, "\n"))
	}
	view.Close()
}

// explain writes the text of report.
func explain(w io.Writer, err error, color bool) {
	var (
		usage       *usageError
		file        *interp.Error
		run         *runFailure
		failed      *runtime.RunError
		locked      *runtime.LockedError
		unavailable *local.UnavailableError
	)
	switch {
	case errors.Is(err, errChanges), errors.Is(err, errNotDone), errors.Is(err, errInterrupted), errors.Is(err, errStayed), errors.As(err, new(*reach.ExitError)):
		// reported by the exit status only
	case errors.As(err, &usage):
		fmt.Fprintf(w, "error: %v\nsee: %s --help\n", usage, usage.command)
	case errors.As(err, &file):
		fmt.Fprintln(w, strings.TrimRight(file.Error(), "\n"))
	case errors.As(err, &run) && errors.As(err, &failed):
		explainServices(w, run, failed, color)
	case errors.As(err, &locked):
		say(w, err, "wait for it with --wait-lock")
	case errors.As(err, &unavailable):
		say(w, err, ui.Advice(unavailable.Advice()))
	default:
		say(w, err, advice(err))
	}
}

// say writes an error that does not concern services.
func say(w io.Writer, err error, next string) {
	fmt.Fprintf(w, "error: %v\n", err)
	if next != "" {
		fmt.Fprintf(w, "next: %s\n", next)
	}
}

// explainServices reports the failures of services and, if the run ended for
// another reason, that reason.
func explainServices(w io.Writer, run *runFailure, failed *runtime.RunError, color bool) {
	// It fails only if w does.
	_ = ui.Failures(w, run.plan, run.key.Namespace(), failed.Failed, color)
	if failed.Cause != nil {
		fmt.Fprintf(w, "\n")
		say(w, failed.Cause, advice(failed.Cause))
	}
}

// advice returns what to do about an error of which only the kind is known.
func advice(err error) string {
	var stop *interrupted
	var cancelled *runtime.CancelledError
	var damaged *runtime.DamagedError
	var unread *inspect.UnreadError
	var taken *reach.TakenError
	var owned *runtime.OwnedError
	var elsewhere *runtime.ElsewhereError
	var moved *runtime.MovedError
	var dns *net.DNSError
	var network *net.OpError
	known, advised := runtime.AdviceOf(err)
	switch {
	case errors.As(err, &stop), errors.As(err, &cancelled):
		return "run again to continue: completed steps are not repeated"
	case errors.As(err, &damaged):
		return fmt.Sprintf("delete only %s and run again, which keeps what is deployed and discards skips and moves; or delete the environment, with ALL its data: pipe delete %s/%s", damaged.Object, damaged.Key.Pipeline, damaged.Key.Name)
	case errors.As(err, &owned):
		return ui.AfterOwned(owned)
	case errors.As(err, &moved):
		return fmt.Sprintf("use --namespace %s, or namespace= of pipeline(), to act on it where it is; or delete it there first, with ALL its data: pipe delete %s/%s", moved.Namespace, moved.Key.Pipeline, moved.Key.Name)
	case errors.As(err, &elsewhere) && elsewhere.Namespace == elsewhere.Key.Namespace():
		return "omit --state-namespace and PIPE_STATE_NAMESPACE: with them the environment would have a second state with its own lock"
	case errors.As(err, &elsewhere):
		return fmt.Sprintf("use --state-namespace %s: without it the environment would have a second state with its own lock", elsewhere.Namespace)
	case errors.As(err, &unread):
		return "check that the kubelet runs and the API server can reach it, with: kubectl describe node " + strings.Join(unread.Nodes, " ")
	case errors.As(err, &taken):
		return "stop the program that uses the port, or forward another local port, such as: pipe forward ENV SERVICE:PORT=LOCAL"
	case adviceOnPods(err) != "":
		return adviceOnPods(err)
	case advised:
		return ui.Advice(known)
	case errors.Is(err, syscall.ENOSPC):
		return "free disk space and run again"
	case errors.Is(err, runtime.ErrTimeout):
		return "increase --timeout, or check what it was waiting for"
	case errors.Is(err, runtime.ErrLeaseLost):
		return "run again: another run may have taken over the environment, or the cluster was unreachable"
	case errors.Is(err, runtime.ErrNoAccess):
		return "use a kubeconfig or a --context with more rights"
	case errors.As(err, &dns), errors.As(err, &network):
		return "check that the server runs and can be reached from here"
	}
	return ""
}
