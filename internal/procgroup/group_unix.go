//go:build !windows

package procgroup

import (
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"sync"
	"syscall"
)

// A Group is the process group of a command.
type Group struct {
	guard *exec.Cmd // nil: the command is the leader
	stdin io.Closer // of the guard

	mu sync.Mutex
	id int // guarded by mu; 0: it has no process
}

// guard is a script that ignores the signals of Ask, and kills its process group when its standard
// input ends. It needs no other program.
const guard = "trap '' TERM INT HUP; read -r _; kill -s KILL 0"

// New starts the leader of a new group. Without /bin/sh, the command becomes the leader, and nothing
// ends the group if this process is killed.
func New() (*Group, error) {
	sh := exec.Command("/bin/sh", "-c", guard)
	sh.Env, sh.Dir = []string{}, "/"
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := sh.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := sh.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return &Group{}, nil
		}
		return nil, err
	}
	return &Group{guard: sh, stdin: stdin, id: sh.Process.Pid}, nil
}

// Start starts the command in the group. A group has only one command, which may start others.
func (g *Group) Start(cmd *exec.Cmd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.id}
	err := cmd.Start()
	if err == nil && g.guard == nil {
		g.id = cmd.Process.Pid
	}
	return err
}

// Ask asks all processes of the group to end.
func (g *Group) Ask() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.id != 0 {
		_ = syscall.Kill(-g.id, syscall.SIGTERM)
	}
}

// Kill kills all processes of the group, which cannot be used any more.
func (g *Group) Kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.id != 0 {
		_ = syscall.Kill(-g.id, syscall.SIGKILL) // all may have ended
		g.end()
	}
}

// Release lets the processes that the command has left behind continue, even if this process is
// killed. The group cannot be used any more.
func (g *Group) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.id != 0 {
		if g.guard != nil {
			_ = g.guard.Process.Kill() // before its standard input ends
		}
		g.end()
	}
}

// end waits for the guard, which was killed.
func (g *Group) end() {
	g.id = 0
	if g.guard != nil {
		_ = g.guard.Wait() // it closes stdin
		_ = g.stdin.Close()
	}
}
