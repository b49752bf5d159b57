//go:build unix

package testenv

import (
	"errors"
	"strconv"
	"syscall"
)

// ownSession protects child processes from an interrupt on the terminal.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// alive reports whether a process with that PID exists.
func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err != nil || !errors.Is(syscall.Kill(n, 0), syscall.ESRCH)
}
