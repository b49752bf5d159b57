package main

import "syscall"

// detached lets a process live on when the console is closed: DETACHED_PROCESS.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{CreationFlags: 0x00000008} }
