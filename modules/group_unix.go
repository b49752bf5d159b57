//go:build !windows

package modules

import (
	"os/exec"
	"syscall"
)

// whole lets cmd end with all that it has started: git leaves the transfer to a
// process of its own, which would wait for a server that says nothing.
func whole(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
