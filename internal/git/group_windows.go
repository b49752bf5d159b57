package git

import "os/exec"

// whole does nothing: the processes that cmd has started end when their pipes are closed.
func whole(*exec.Cmd) {}
