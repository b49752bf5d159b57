package modules

import "os/exec"

// whole leaves cmd as it is: what it has started ends with its pipes.
func whole(*exec.Cmd) {}
