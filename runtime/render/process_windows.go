package render

import (
	"os"
	"os/exec"
	"syscall"
)

// apart keeps the signals of the terminal from a worker: who asked it decides
// when it ends.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// environ is the environment of a worker: a chart sees nothing of ours.
func environ() []string {
	return []string{"GOTRACEBACK=none", "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")} //nolint:forbidigo // without it no process starts
}
