package render

import (
	"os"
	"os/exec"
	"syscall"
)

// apart protects a worker from signals of the terminal: the process that started it
// decides when it ends.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// environ returns the environment of a worker: a chart cannot see that of pipe.
func environ() []string {
	return []string{"GOTRACEBACK=none", "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")} //nolint:forbidigo // without it no process starts
}
