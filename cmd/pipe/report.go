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

// report tells what went wrong, on standard error: what, where, why, and what
// to do next. Where progress is JSON, so is this: an event for each line.
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

// explain writes what report tells.
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
		// said by the status alone
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

// say writes an error that is not about services.
func say(w io.Writer, err error, next string) {
	fmt.Fprintf(w, "error: %v\n", err)
	if next != "" {
		fmt.Fprintf(w, "next: %s\n", next)
	}
}

// explainServices tells what went wrong with services, and, if the run ended
// for another reason, that.
func explainServices(w io.Writer, run *runFailure, failed *runtime.RunError, color bool) {
	// It fails only if w does.
	_ = ui.Failures(w, run.plan, run.key.Namespace(), failed.Failed, color)
	if failed.Cause != nil {
		fmt.Fprintf(w, "\n")
		say(w, failed.Cause, advice(failed.Cause))
	}
}

// advice is what to do next about an error of which no more is known than its kind.
func advice(err error) string {
	var stop *interrupted
	var cancelled *runtime.CancelledError
	var damaged *runtime.DamagedError
	var unread *inspect.UnreadError
	var taken *reach.TakenError
	var owned *runtime.OwnedError
	var elsewhere *runtime.ElsewhereError
	var dns *net.DNSError
	var network *net.OpError
	known, advised := runtime.AdviceOf(err)
	switch {
	case errors.As(err, &stop), errors.As(err, &cancelled):
		return "run again to go on: nothing is half done, and what is done is not done twice"
	case errors.As(err, &damaged):
		return fmt.Sprintf("delete %s alone and run again, which leaves what is deployed and forgets what was skipped and moved; or delete the environment, with ALL its data: pipe delete %s/%s", damaged.Object, damaged.Key.Pipeline, damaged.Key.Name)
	case errors.As(err, &owned):
		return ui.AfterOwned(owned)
	case errors.As(err, &elsewhere) && elsewhere.Namespace == elsewhere.Key.Namespace():
		return "leave out --state-namespace and PIPE_STATE_NAMESPACE: with them the environment would have a second state, with a lock of its own"
	case errors.As(err, &elsewhere):
		return fmt.Sprintf("say where it is with --state-namespace %s: without it the environment would have a second state, with a lock of its own", elsewhere.Namespace)
	case errors.As(err, &unread):
		return "see whether the kubelet runs, and whether the API server reaches it, with: kubectl describe node " + strings.Join(unread.Nodes, " ")
	case errors.As(err, &taken):
		return "end the program that has the port, or forward another local port, as in: pipe forward ENV SERVICE:PORT=LOCAL"
	case adviceOnPods(err) != "":
		return adviceOnPods(err)
	case advised:
		return ui.Advice(known)
	case errors.Is(err, syscall.ENOSPC):
		return "make room on the disk and run again"
	case errors.Is(err, runtime.ErrTimeout):
		return "give it more time with --timeout, or look at what it waited for"
	case errors.Is(err, runtime.ErrLeaseLost):
		return "run again: another run may have taken the environment over, or the cluster was out of reach"
	case errors.Is(err, runtime.ErrNoAccess):
		return "use a kubeconfig or a --context with more rights"
	case errors.As(err, &dns), errors.As(err, &network):
		return "check that the server runs and can be reached from here"
	}
	return ""
}
