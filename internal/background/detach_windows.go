package background

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// Detach runs cmd without a console, so that it does not end with the caller's console.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// askToEnd kills the process: without a console it cannot be asked to end.
func askToEnd(p *os.Process) error {
	return p.Kill()
}

// ends are the signals that ask a process to end.
var ends = []os.Signal{os.Interrupt}
