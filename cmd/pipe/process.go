package main

import (
	"os"
	"os/signal"
	"os/user"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/pipelinefile/pipe/runtime/local"
)

// process returns the app of this process.
func process() *app {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
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
		signals: signals,
		exit:    os.Exit,
		open:    local.Open,
	}
}

// whoami is the user and the machine, for records of runs and for the lease.
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
