//go:build !windows

package render

import (
	"os/exec"
	"syscall"
)

// apart protects a worker from signals of the terminal: the process that started it
// decides when it ends.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// environ returns the environment of a worker: a chart cannot see that of pipe.
func environ() []string { return []string{"GOTRACEBACK=none"} }
