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

// An app is the command with everything that is outside the process. Only
// process() and main.go touch the process itself.
type app struct {
	args    []string // without the name of the command
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	dir     string // where relative paths start
	exe     string // the command itself, to be started again as a background process
	user    string // who asks, as user@host
	now     func() time.Time
	// terminal reports whether standard error is a terminal with a size.
	terminal func() bool
	// screen reports whether standard output is a terminal; nil: it is not.
	screen func() bool
	// typed reports whether standard input is a terminal; nil: it is not.
	typed func() bool
	// tty returns the terminal that both standard input and standard output are; nil,
	// or a function that returns nil: they are none.
	tty func() *tty
	// signals gives the interrupts that the process receives, to which raise adds one.
	signals <-chan os.Signal
	raise   func(os.Signal)
	// exit ends the process at once, at a second interrupt.
	exit func(status int)
	// browse opens a URL in the browser of the user.
	browse func(ctx context.Context, url string) error
	// divert hands what libraries log, line by line, to tell; nil: they log nothing.
	divert func(tell func(line string))
	// open puts a runtime together; tests give their own.
	open func(context.Context, local.Options) (*local.Runtime, error)
	// look opens what shows how environments stand; tests give their own.
	look func(context.Context, local.Options) (*local.Look, error)

	mu   sync.Mutex
	view ui.View // what shows progress now; guarded by mu
	json bool    // progress is JSON, and so is all else on standard error
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

// main runs the command and returns its exit status. Nothing that it writes acts on a
// terminal but colours, and what asks for the streams below.
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

// An interrupted is why the context of the command ended: a signal.
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
// *interrupted as its cause. The second one ends the process (A4): the next run
// needs no repair all the same (A6).
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
					a.note(cause.Error() + ": stopping cleanly, what is being written is finished; interrupt again to stop at once")
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

// show makes v what shows progress, until hide.
func (a *app) show(v ui.View) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.view = v
}

// working reports whether progress is shown: what changes something shows it,
// and verbs that only look, such as logs -f, do not.
func (a *app) working() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.view != nil
}

// current is what shows progress now; nobody sees it if nothing does.
func (a *app) current() ui.View {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.view == nil {
		return ui.New(ui.Options{Mode: ui.Quiet})
	}
	return a.view
}

// hide ends the view, and gives the terminal back.
func (a *app) hide() {
	a.mu.Lock()
	v := a.view
	a.view = nil
	a.mu.Unlock()
	if v != nil {
		v.Close()
	}
}

// noteOnce returns what notes a line of a library, and each but once: Helm says
// the same at every rendering.
func (a *app) noteOnce() func(line string) {
	var mu sync.Mutex
	told := make(map[string]bool)
	return func(line string) {
		mu.Lock()
		again := told[line]
		told[line] = true
		mu.Unlock()
		if !again {
			a.note(line)
		}
	}
}

// note tells something by the way, on standard error.
func (a *app) note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.view != nil {
		a.view.Note(text)
		return
	}
	fmt.Fprintln(a.stderr, text)
}
