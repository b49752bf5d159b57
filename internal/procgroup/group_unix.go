//go:build !windows

package build

import (
	"errors"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// A group is the process group of a command. Its leader is a process that kills the group when this
// process ends, even if it is killed.
type group struct {
	guard *exec.Cmd // nil: the command is the leader
	stdin io.Closer

	mu sync.Mutex
	id int // guarded by mu; 0: it has no process
}

// newGroup starts the leader of a new group.
func newGroup(executable string) (*group, error) {
	if executable == "" {
		return &group{}, nil
	}
	guard := exec.Command(executable, GuardArgs()...)
	guard.Env = []string{"GOTRACEBACK=none"}
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := guard.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := guard.Start(); err != nil {
		return nil, err
	}
	return &group{guard: guard, stdin: stdin, id: guard.Process.Pid}, nil
}

// add makes cmd, which was not started yet, start in the group.
func (g *group) add(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.id}
}

// started notes that cmd was started.
func (g *group) started(cmd *exec.Cmd) {
	if g.guard == nil {
		g.id = cmd.Process.Pid
	}
}

// ask asks the processes of the group to end.
func (g *group) ask() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.id != 0 {
		_ = syscall.Kill(-g.id, syscall.SIGTERM)
	}
}

// kill kills the processes of the group, which is not used any more.
func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.id == 0 {
		return
	}
	_ = syscall.Kill(-g.id, syscall.SIGKILL) // all may have ended
	g.id = 0
	if g.guard != nil {
		_ = g.stdin.Close()
		_ = g.guard.Wait() // it was killed
	}
}

func killOwnGroup() error {
	if syscall.Getpgrp() != syscall.Getpid() {
		return errors.New("this command guards a build of pipe and cannot be run by hand")
	}
	return syscall.Kill(0, syscall.SIGKILL)
}
