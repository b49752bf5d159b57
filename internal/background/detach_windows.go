package background

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// Detach gives cmd no console, so that it does not end with the caller's.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// askToEnd ends the process: without a console there is no way to ask it.
func askToEnd(p *os.Process) error {
	return p.Kill()
}

// ends are the signals that ask a process to end.
var ends = []os.Signal{os.Interrupt}
