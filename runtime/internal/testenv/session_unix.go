//go:build unix

package testenv

import "syscall"

// ownSession keeps an interrupt at the terminal from what it starts.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
