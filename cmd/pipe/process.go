package main

import (
	"log"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"github.com/pipelinefile/pipe/runtime/local"
)

// process returns the app for this process.
func process() *app {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as with nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	return &app{
		args:    os.Args[1:],
		environ: os.Environ(),
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		dir:     dir,
		exe:     exe,
		user:    whoami(),
		now:     time.Now,
		terminal: func() bool {
			if !term.IsTerminal(int(os.Stderr.Fd())) {
				return false
			}
			w, h, err := term.GetSize(int(os.Stderr.Fd()))
			return err == nil && w > 0 && h > 0
		},
		screen:  func() bool { return term.IsTerminal(int(os.Stdout.Fd())) },
		typed:   func() bool { return term.IsTerminal(int(os.Stdin.Fd())) },
		tty:     terminal,
		signals: signals,
		raise: func(sig os.Signal) {
			select {
			case signals <- sig:
			default: // enough are pending
			}
		},
		browse:  browse,
		exit:    os.Exit,
		divert:  divert,
		open:    local.Open,
		cluster: local.OpenCluster,
	}
}

// terminal returns the terminal that is both standard input and standard
// output; nil: there is none.
func terminal() *tty {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return nil
	}
	return &tty{
		raw: func() (func(), error) {
			before, err := term.MakeRaw(in)
			return func() { _ = term.Restore(in, before) }, err
		},
		size:    func() (int, int, error) { return term.GetSize(out) },
		resized: resizes(),
	}
}

// divert keeps log output of libraries off standard error, which belongs to the
// view. Helm logs values that do not match through the standard logger. Errors
// that client-go logs through klog are also returned to the caller.
func divert(tell func(line string)) {
	klog.SetLogger(klog.Logger{})
	log.SetFlags(0)
	log.SetOutput(teller(tell))
}

// A teller is a writer that passes each line to a function.
type teller func(line string)

func (t teller) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if line = strings.TrimSpace(line); line != "" {
			t(line)
		}
	}
	return len(p), nil
}

// whoami returns the user and the machine, for records of runs and for the
// lease.
func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}
