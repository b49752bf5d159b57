package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/local"
)

// An app is the command with all of its connections to the outside. Only
// process() and main.go access the process itself.
type app struct {
	args    []string // without the name of the command
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	dir     string // the directory that relative paths are relative to
	exe     string // path of the executable, which is also started as a background process
	user    string // the user, as user@host
	now     func() time.Time
	// terminal reports whether standard error is a terminal with a size.
	terminal func() bool
	// screen reports whether standard output is a terminal; nil: it is not.
	screen func() bool
	// typed reports whether standard input is a terminal; nil: it is not.
	typed func() bool
	// tty returns the terminal that is both standard input and standard output.
	// tty may be nil or return nil: there is none.
	tty func() *tty
	// signals returns the interrupts that the process receives; raise adds one.
	signals <-chan os.Signal
	raise   func(os.Signal)
	// exit ends the process immediately, on a second interrupt.
	exit func(status int)
	// browse opens a URL in the browser of the user.
	browse func(ctx context.Context, url string) error
	// divert passes the log lines of libraries to tell; nil: libraries log
	// nothing.
	divert func(tell func(line string))
	// open opens a runtime; tests replace it.
	open func(context.Context, local.Options) (*local.Runtime, error)
	// cluster opens one without builder and registry; tests replace it.
	cluster func(context.Context, local.Options) (*local.Cluster, error)

	mu   sync.Mutex
	view ui.View // the current progress view; guarded by mu
	json bool    // progress, and everything else on standard error, is JSON
}

// env returns a variable of the environment, and whether it is set.
func (a *app) env(name string) (string, bool) {
	for i := len(a.environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(a.environ[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// main runs the command and returns its exit status. Its output cannot control
// the terminal, except for colours and code that asks for the raw streams.
func (a *app) main() int {
	a.stdout, a.stderr = ui.NewSafe(a.stdout), ui.NewSafe(a.stderr)
	ctx, stop := a.interruptible(context.Background())
	defer stop()
	err := a.execute(ctx)
	if err != nil {
		a.report(err)
	}
	return status(ctx, err)
}

// An interrupted is the cause of a context that was canceled by a signal.
type interrupted struct{ signal os.Signal }

// Error is "interrupted" (Ctrl-C), "terminated" (SIGTERM) or "the terminal was closed"
// (SIGHUP).
func (e *interrupted) Error() string {
	switch e.signal {
	case syscall.SIGTERM:
		return "terminated"
	case syscall.SIGHUP:
		return "the terminal was closed"
	}
	return "interrupted"
}

// interruptible returns a context that the first interrupt cancels, with an
// *interrupted as its cause. The second interrupt ends the process immediately
// (A4); even then the next run needs no repair (A6).
func (a *app) interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stopped:
				return
			case sig := <-a.signals:
				if n > 0 {
					a.hide()
					a.exit(interruptStatus(sig))
					return
				}
				cause := &interrupted{sig}
				if a.working() {
					a.note(cause.Error() + ": stopping cleanly after current writes; interrupt again to stop immediately")
				}
				cancel(cause)
			}
		}
	}()
	return ctx, func() {
		close(stopped)
		<-ended
		cancel(nil)
	}
}

// show makes v the progress view, until hide.
func (a *app) show(v ui.View) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.view = v
}

// working reports whether progress is shown. Verbs that change something show
// it; verbs that only read, such as logs -f, do not.
func (a *app) working() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.view != nil
}

// current returns the current progress view; if there is none, a view that
// shows nothing.
func (a *app) current() ui.View {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.view == nil {
		return ui.New(ui.Options{Mode: ui.Quiet})
	}
	return a.view
}

// hide closes the view and restores the terminal.
func (a *app) hide() {
	a.mu.Lock()
	v := a.view
	a.view = nil
	a.mu.Unlock()
	if v != nil {
		v.Close()
	}
}

// noteOnce returns a function that prints each different line of a library
// once: Helm repeats its messages at every rendering.
func (a *app) noteOnce() func(line string) {
	var mu sync.Mutex
	reported := make(map[string]bool)
	return func(line string) {
		mu.Lock()
		again := reported[line]
		reported[line] = true
		mu.Unlock()
		if !again {
			a.note(line)
		}
	}
}

// note prints a note on standard error.
func (a *app) note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.view != nil {
		a.view.Note(text)
		return
	}
	fmt.Fprintln(a.stderr, text)
}
