package main

import "syscall"

// detached makes a process survive the closing of its console: DETACHED_PROCESS.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{CreationFlags: 0x00000008} }
