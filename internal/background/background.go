// Package background runs components of pipe as background processes of the same binary.
//
// There is at most one process with a name in a directory, for any number of concurrent
// callers, and wherever any of them is killed. All its state is
// in files of that directory, and each fact is bound to a lock that the kernel
// releases when its holder dies, so that neither a leftover file nor
// a reused PID can be mistaken for a live process:
//
//	NAME.start  held while a caller starts the process: one at a time
//	NAME.lock   held by the process for its lifetime; contains its PID
//	NAME.addr   written, then held, by the process while it can be used
//	NAME.use    shared by all users; held exclusively by a process that ends because it is idle
//	NAME.log    the output of the process
//
// A caller acquires its share of NAME.use before it checks NAME.addr, and an idle
// process acquires NAME.use exclusively before it releases NAME.addr. So no caller gets
// the address of a process that is about to end. The process writes
// NAME.addr before it locks it, and a caller reads it after it found it locked.
// So the content is never that of an earlier process.
package background

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// A Process is a component of pipe that runs in the background.
type Process struct {
	// Name is the name of the process, of its files and in messages, such as "registry".
	Name string
	// Dir is the directory of its files, on a local disk. It is created with mode 0700.
	Dir string
	// Executable is the program to start. Default: the running one.
	Executable string
	// Args are its arguments. They must make it call [Serve] with the same Name
	// and Dir.
	Args []string
	// Version is the version of the protocol between callers and the process,
	// not of the program: a process with another version is not used. Programs of
	// different versions share the process if their protocol version is the same.
	Version string
	// Env is the environment from which that of the process is derived: only a fixed list
	// of variables is passed on, because the process outlives the caller and serves others.
	// Default: that of the caller.
	Env []string
	// Progress, if set, is called with what Ensure waits for, in a few words, each time
	// that changes.
	Progress func(what string)
}

// A VersionError means that a process with another version is running and in use, so
// that the requested one cannot be started without interrupting its users.
type VersionError struct {
	Name          string
	PID           int
	Running, Ours string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s of version %s (process %d) is in use by another pipe, and this one needs version %s: "+
		"wait until the other one has ended, or stop it", e.Name, e.Running, e.PID, e.Ours)
}

// An Attached is a live process and a caller's use of it: the process does
// not become idle until Release, or the end of the caller.
type Attached struct {
	Addr    string // the address of the process
	PID     int
	Version string
	Notes   []string // messages of the process, if this caller started it; see [Activity.Note]
	use     *lock
}

// Release ends the use of the process. It may be called more than once.
func (a *Attached) Release() {
	a.use.unlock()
}

// How often files are checked while waiting, at first and after a second: a check
// costs a few microseconds.
const (
	pollFast = 4 * time.Millisecond
	pollSlow = 25 * time.Millisecond
)

// Ensure returns the live process, and starts it if there is none. It waits
// until the process can be used, or ctx is done; a process that is starting
// continues to start. If the process ends instead, the error says why, if necessary
// with the last lines of its log. A process with another version is replaced if it is not
// in use, after it has finished its work; otherwise the error is a *VersionError.
func (p Process) Ensure(ctx context.Context) (*Attached, error) {
	a, err := p.ensure(ctx)
	if err != nil {
		return nil, fmt.Errorf("background %s: %w", p.Name, err)
	}
	return a, nil
}

func (p Process) ensure(ctx context.Context) (*Attached, error) {
	f := files{p.Dir, p.Name}
	if err := f.prepare(); err != nil {
		return nil, err
	}
	var (
		began    = time.Now()
		said     string
		starting *child
		start    *lock // of NAME.start, while starting is ours
	)
	defer func() { start.unlock() }()
	say := func(what string) {
		if what != said && p.Progress != nil {
			p.Progress(what)
		}
		said = what
	}
	for {
		a, err := f.attach()
		if err != nil {
			return nil, err
		}
		if a != nil {
			if a.Version == p.Version {
				if starting == nil || starting.pid != a.PID {
					a.Notes = nil // they were delivered to the caller that started it
				}
				return a, nil
			}
			a.Release()
			say(fmt.Sprintf("replacing the one of version %s", a.Version))
			if err := p.replace(ctx, f, a); err != nil {
				return nil, err
			}
			continue
		}
		switch {
		case starting == nil:
			if start, err = tryLock(f.start(), exclusive); err != nil {
				return nil, err
			}
			if start == nil {
				say("waiting for the one that is starting")
				break
			}
			alive, err := held(f.lock())
			if err != nil {
				return nil, err
			}
			if alive {
				// It is starting although its starter is gone, or it is ending.
				start.unlock()
				start = nil
				say("waiting for the one that is starting or ending")
				break
			}
			say("starting")
			if starting, err = p.spawn(f); err != nil {
				return nil, err
			}
		case starting.ended():
			// Another process may have been faster that was not started by Ensure; or
			// this one was not used soon enough, or was stopped.
			alive, err := held(f.lock())
			if err != nil {
				return nil, err
			}
			if !alive && !starting.served(f) {
				return nil, starting.failure(f)
			}
			start.unlock()
			start, starting = nil, nil
		}
		wait := pollFast
		if time.Since(began) > time.Second {
			wait = pollSlow
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w; its log is %s", cmp.Or(said, "attaching"), context.Cause(ctx), f.log())
		case <-time.After(wait):
		}
	}
}

// replace stops a, which has another version, if it is not in use.
func (p Process) replace(ctx context.Context, f files, a *Attached) error {
	use, err := lockSoon(ctx, f.use())
	if errors.Is(err, errHeld) {
		return nil // it is ending, or being replaced by another caller: check again
	}
	if errors.Is(err, errShared) {
		return &VersionError{Name: p.Name, PID: a.PID, Running: a.Version, Ours: p.Version}
	}
	if err != nil {
		return err
	}
	// Held meanwhile, so that no caller can start to use it.
	defer use.unlock()
	return stop(ctx, f, false)
}

// A child is a process that was started by this process.
type child struct {
	pid  int
	done chan struct{}
	err  error // set before done is closed
	from int64 // the offset of its output in the log
}

// spawn starts the process, detached from the caller: in its own session,
// with its output in the log and nothing inherited.
func (p Process) spawn(f files) (*child, error) {
	exe := p.Executable
	if exe == "" {
		var err error
		if exe, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	if err := rotate(f.log()); err != nil {
		return nil, err
	}
	log, err := open(f.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	env := p.Env
	if env == nil {
		env = os.Environ() //nolint:forbidigo // only what the fixed list names is handed on
	}
	cmd := exec.Command(exe, p.Args...)
	cmd.Dir = p.Dir // not the caller's, which it would keep in use
	cmd.Env = clean(env)
	cmd.Stdout, cmd.Stderr = log, log
	Detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", exe, err)
	}
	c := &child{pid: cmd.Process.Pid, done: make(chan struct{}), from: info.Size()}
	// Runs as long as both processes: without it, an ended child would remain
	// a zombie until the caller ends.
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// served reports whether the process ended regularly, because it was asked to or idle.
func (c *child) served(f files) bool {
	r, err := parse(f.lock())
	return err == nil && r != nil && r.PID == c.pid && r.Error == "" && c.err == nil
}

// failure returns why the process ended before it could be used: its recorded error,
// or otherwise its output.
func (c *child) failure(f files) error {
	if r, err := parse(f.lock()); err == nil && r != nil && r.PID == c.pid && r.Error != "" {
		return fmt.Errorf("%s (its log is %s)", r.Error, f.log())
	}
	err := c.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	if tail := tail(f.log(), c.from); tail != "" {
		return fmt.Errorf("it ended while starting (%w) after printing:\n%s\nall of its log is in %s", err, tail, f.log())
	}
	return fmt.Errorf("it ended while starting (%w) and printed nothing; its log is %s", err, f.log())
}
