package procgroup

import (
	"os"
	"os/exec"
	"sync"
)

// A Group is the process of a command: there are no process groups, and nothing ends it if this
// process is killed.
type Group struct {
	mu      sync.Mutex
	process *os.Process // guarded by mu
}

// New returns a new group.
func New() (*Group, error) { return &Group{}, nil }

// Start starts the command in the group.
func (g *Group) Start(cmd *exec.Cmd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := cmd.Start()
	g.process = cmd.Process
	return err
}

// Ask kills the command, which cannot be asked.
func (g *Group) Ask() { g.Kill() }

// Kill kills the command.
func (g *Group) Kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process != nil {
		_ = g.process.Kill() // it may have ended
	}
}

// Release lets the processes that the command has left behind continue.
func (g *Group) Release() {}
