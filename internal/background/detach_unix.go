//go:build !windows

package background

import (
	"os"
	"os/exec"
	"syscall"
)

// Detach runs cmd in its own session, so that it has no terminal and receives no signals
// sent to the caller's process group.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// askToEnd asks the process to end when it has finished its work.
func askToEnd(p *os.Process) error {
	return p.Signal(syscall.SIGTERM)
}

// ends are the signals that ask a process to end.
var ends = []os.Signal{syscall.SIGTERM, syscall.SIGINT}
