package supervise

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// child is a process that the supervisor keeps alive.
type child struct {
	name string
	path string // of the program
	args []string
	env  []string // in addition to the supervisor's own
	// grace is how long it may take to end on request.
	grace time.Duration
	// probe returns nil if it is usable. If probe is nil, the child reports this itself, on its
	// standard output (package role).
	probe func(context.Context) error
}

const (
	firstPause = 200 * time.Millisecond
	longPause  = 10 * time.Second
	// settled is how long a child must have lived for its next death to count as the first one.
	settled = 30 * time.Second
	// slow is how long a probe may fail before its error is reported.
	slow = 3 * time.Second
	// tries is how often a child that was never usable may die before the supervisor gives up.
	tries = 5
)

// keep runs the child, and restarts it whenever it ends, until the context ends; then it stops the
// child. It returns an error only if the child was never usable and died too often.
func (s *supervisor) keep(ctx context.Context, c child) error {
	pause, deaths := firstPause, 0
	for {
		began := time.Now()
		err := s.runOnce(ctx, c)
		if ctx.Err() != nil {
			s.child(c.name, proc.ID{}, home.ChildStopped)
			return nil
		}
		deaths++
		why := fmt.Sprintf("%s died (%v): %s; see %s", c.name, err, tail(s.dir.Log(c.name), 1), s.dir.Log(c.name))
		s.logf("%s", why)
		if !s.everReady(c.name) && deaths >= tries {
			return fmt.Errorf("%s died %d times before it was usable (%w):\n%s", c.name, deaths, err, tail(s.dir.Log(c.name), 12))
		}
		s.died(c.name, why)
		if time.Since(began) > settled {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

// runOnce starts the child and returns when it has ended.
func (s *supervisor) runOnce(ctx context.Context, c child) error {
	log, err := os.OpenFile(s.dir.Log(c.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.path, c.args...)
	if c.path == self() {
		cmd.Args[0] = "pipe-cluster" // what ps shows
	}
	cmd.Dir = s.dir.Run()
	cmd.Env = append(os.Environ(), c.env...)
	// A file instead of a pipe: containerd passes it to processes that outlive the supervisor.
	cmd.Stderr = log
	cmd.SysProcAttr = attributes()
	var said io.ReadCloser
	if c.probe == nil {
		if said, err = cmd.StdoutPipe(); err != nil {
			return err
		}
		// If the system does not end the child with its supervisor, the child ends itself when this
		// pipe is closed.
		if _, err := cmd.StdinPipe(); err != nil {
			return err
		}
	} else {
		cmd.Stdout = log
	}
	if err := s.spawn(cmd.Start); err != nil {
		return err
	}
	id := proc.Of(cmd.Process.Pid)
	s.child(c.name, id, home.ChildRunning)

	// Probing and listening end with the process.
	alive, dead := context.WithCancel(ctx)
	defer dead()
	heard := make(chan struct{})
	if c.probe == nil {
		go func() {
			defer close(heard)
			s.listen(c.name, said)
		}()
	} else {
		go func() {
			defer close(heard)
			s.probe(alive, c)
		}()
	}
	defer context.AfterFunc(ctx, func() { _ = id.Stop(context.WithoutCancel(ctx), c.grace) })()
	if c.probe == nil {
		<-heard // Wait closes the pipe, so everything must be read before
	}
	err = cmd.Wait()
	dead()
	<-heard
	if err == nil {
		err = fmt.Errorf("ended by itself")
	}
	return err
}

// listen processes the reports of a child. See package role for their format.
func (s *supervisor) listen(name string, r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "doing":
			s.doing(rest)
		case "ready":
			s.usable(name)
		default:
			s.logf("%s: %s", name, lines.Text())
		}
	}
}

func (s *supervisor) probe(ctx context.Context, c child) {
	began, reported := time.Now(), ""
	for err := c.probe(ctx); err != nil; err = c.probe(ctx) {
		// At first, the child is only starting.
		if text := fmt.Sprintf("waiting for %s: %v", c.name, err); time.Since(began) > slow && text != reported && ctx.Err() == nil {
			s.doing(text)
			reported = text
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.usable(c.name)
}

// tail returns the last lines of a log.
func tail(file string, lines int) string {
	const bytes = 16 << 10
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > bytes {
		_, _ = f.Seek(-bytes, io.SeekEnd)
	}
	b, _ := io.ReadAll(f)
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
