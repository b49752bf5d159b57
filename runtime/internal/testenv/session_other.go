//go:build !unix

package testenv

import "syscall"

func ownSession() *syscall.SysProcAttr { return nil }

// alive reports whether a process with that PID exists. Here, it may.
func alive(string) bool { return true }
