//go:build linux || darwin

package ui

import (
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// Foreground reports whether the process may read from a terminal: its process group is
// the foreground group. It also may if the terminal is not its controlling terminal.
func Foreground(terminal *os.File) bool {
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// keyByKey makes a terminal deliver each key as it is pressed, without echoing it. Keys
// that send signals still do: Ctrl-C ends a process that does not read. It returns a
// function that restores the terminal.
func keyByKey(terminal *os.File) (restore func(), err error) {
	was, err := unix.IoctlGetTermios(int(terminal.Fd()), readTermios)
	if err != nil {
		return nil, fmt.Errorf("get the terminal mode: %w", err)
	}
	now := *was
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(terminal.Fd()), writeTermios, &now); err != nil {
		return nil, fmt.Errorf("set the terminal mode: %w", err)
	}
	return func() { _ = unix.IoctlSetTermios(int(terminal.Fd()), writeTermios, was) }, nil
}

// jobs are the signals of job control while a view uses the terminal.
type jobs struct {
	stop      chan os.Signal // Ctrl-Z, or kill -TSTP
	continued chan os.Signal // after an unexpected stop, by kill -STOP
}

// newJobs registers for the signals of job control. Reading from a terminal while in the
// background then becomes an error, instead of stopping the process.
func newJobs() *jobs {
	j := &jobs{stop: make(chan os.Signal, 1), continued: make(chan os.Signal, 1)}
	if ofShell() {
		signal.Notify(j.stop, unix.SIGTSTP)
	} else {
		signal.Ignore(unix.SIGTSTP)
	}
	signal.Notify(j.continued, unix.SIGCONT)
	signal.Ignore(unix.SIGTTIN)
	return j
}

// ofShell reports whether a shell could continue the process after it is stopped: it is
// not in the process group of the session leader, as it is in a container.
func ofShell() bool {
	session, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	group, err := unix.Getpgid(session)
	return err == nil && group != unix.Getpgrp()
}

// close unregisters the signals.
func (j *jobs) close() {
	signal.Stop(j.stop)
	signal.Stop(j.continued)
	signal.Reset(unix.SIGTSTP, unix.SIGTTIN)
}

// suspend stops the process as Ctrl-Z does, and returns when it continues. Once Go has
// handled SIGTSTP, the default action of that signal cannot be restored.
func (j *jobs) suspend() {
	_ = unix.Kill(unix.Getpid(), unix.SIGSTOP)
	select {
	case <-j.continued: // this continuation is expected
	case <-time.After(100 * time.Millisecond):
	}
}
