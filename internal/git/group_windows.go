package git

import "os/exec"

// whole leaves cmd as it is: what it has started ends when its pipes are closed.
func whole(*exec.Cmd) {}
