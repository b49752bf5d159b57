//go:build unix

package testenv

import (
	"errors"
	"strconv"
	"syscall"
)

// ownSession keeps an interrupt at the terminal from what it starts.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// alive says whether there is a process of that number.
func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err != nil || !errors.Is(syscall.Kill(n, 0), syscall.ESRCH)
}
