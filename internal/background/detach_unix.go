//go:build !windows

package background

import (
	"os"
	"os/exec"
	"syscall"
)

// Detach makes cmd a session of its own: no terminal, and no signal meant for
// the caller's group, reaches it.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// askToEnd asks the process to end when it has finished what it is doing.
func askToEnd(p *os.Process) error {
	return p.Signal(syscall.SIGTERM)
}

// ends are the signals that ask a process to end.
var ends = []os.Signal{syscall.SIGTERM, syscall.SIGINT}
