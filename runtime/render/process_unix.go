//go:build !windows

package render

import (
	"os/exec"
	"syscall"
)

// apart keeps the signals of the terminal from a worker: who asked it decides
// when it ends.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// environ is the environment of a worker: a chart sees nothing of ours.
func environ() []string { return []string{"GOTRACEBACK=none"} }
