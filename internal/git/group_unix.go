//go:build !windows

package git

import (
	"os/exec"
	"syscall"
)

// whole makes cancellation kill cmd together with all processes that it has started: git
// runs a transfer in a separate process, which would otherwise keep waiting for a server
// that does not answer.
func whole(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
