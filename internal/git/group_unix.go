//go:build !windows

package git

import (
	"os/exec"
	"syscall"
)

// whole makes cancellation end cmd together with all that it has started: git
// leaves a transfer to a process of its own, which would otherwise go on waiting
// for a server that does not answer.
func whole(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
