//go:build unix

package main

import "syscall"

// detached makes a process survive the closing of its terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
