// Package background runs parts of pipe as background processes of the same binary.
//
// There is at most one process of a name in a folder, however many callers ask
// for it at once, and wherever any of them is killed. All that is known of it is
// in files of that folder, and each fact is bound to a lock that the kernel
// gives back when its holder dies, so that neither a file that was left over nor
// a process identifier that was used again can be taken for a live process:
//
//	NAME.start  held while somebody starts the process: one starter at a time
//	NAME.lock   held by the process for its life; has its process identifier
//	NAME.addr   written, then held, by the process while it can be used
//	NAME.use    shared by all that use it; held alone by a process that ends idle
//	NAME.log    what the process prints
//
// A caller takes its share of NAME.use before it looks at NAME.addr, and an idle
// process takes all of NAME.use before it gives up NAME.addr. So nobody gets the
// address of a process that is about to end for idleness. The process writes
// NAME.addr before it locks it, and a caller reads it after it found it locked.
// So what is read is never of an earlier process.
package background

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// A Process is one part of pipe that runs in the background.
type Process struct {
	// Name names the process, its files and it in messages, such as "registry".
	Name string
	// Dir is the folder of its files, on a local disk. It is made, and closed to
	// other users (mode 0700).
	Dir string
	// Executable is the program to start. Default: the running one.
	Executable string
	// Args are its arguments. They must make it call [Serve] with the same Name
	// and Dir.
	Args []string
	// Version is the version of what callers and process speak with each other,
	// not of the program: a process of another version is not used. Callers
	// that give the same to Serve let programs of many versions share it.
	Version string
	// Env is the environment that the process gets its own from: only names of a
	// fixed list are handed on, since it outlives the caller and serves others.
	// Default: that of the caller.
	Env []string
	// Progress, if set, is told what Ensure waits for, in a few words, each time
	// that changes.
	Progress func(what string)
}

// A VersionError says that a process of another version runs and is in use, so
// that ours could be started only by taking it away from somebody.
type VersionError struct {
	Name          string
	PID           int
	Running, Ours string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s of version %s (process %d) is in use by another pipe, and this one needs version %s: "+
		"wait until the other one has ended, or end it", e.Name, e.Running, e.PID, e.Ours)
}

// An Attached is a live process, and a caller's right to it: the process does
// not end for idleness until Release, or the end of the caller.
type Attached struct {
	Addr    string // as the process gave it
	PID     int
	Version string
	Notes   []string // what the process has to tell whoever started it, which is the caller; see [Activity.Note]
	use     *lock
}

// Release gives the process up. It may be called more than once.
func (a *Attached) Release() {
	a.use.unlock()
}

// How often files are looked at while waiting, at first and after a second: it
// costs a few microseconds.
const (
	pollFast = 4 * time.Millisecond
	pollSlow = 25 * time.Millisecond
)

// Ensure returns the live process, which it starts if there is none. It waits
// until the process can be used, or ctx is done: then a process that is starting
// goes on doing so. A process that ends instead is an error that says why, if need
// be with the last lines of its log. One of another version is replaced if nobody uses it, after it has
// ended what it was doing; otherwise the error is a *VersionError.
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
					a.Notes = nil // whoever started it was told
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
				// It is starting though its starter is gone, or is ending.
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
			// Another one may have been faster, that nobody of Ensure started; or
			// nobody used ours soon enough, or somebody stopped it.
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
			return nil, fmt.Errorf("%s: %w; its log is %s", orElse(said, "attaching"), context.Cause(ctx), f.log())
		case <-time.After(wait):
		}
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// replace ends a, which is of another version, if nobody uses it.
func (p Process) replace(ctx context.Context, f files, a *Attached) error {
	use, err := lockSoon(ctx, f.use())
	if errors.Is(err, errHeld) {
		return nil // it is ending, or being replaced by another: look again
	}
	if errors.Is(err, errShared) {
		return &VersionError{Name: p.Name, PID: a.PID, Running: a.Version, Ours: p.Version}
	}
	if err != nil {
		return err
	}
	// Held meanwhile, so that nobody can begin to use it.
	defer use.unlock()
	return stop(ctx, f, false)
}

// A child is a process that was started here.
type child struct {
	pid  int
	done chan struct{}
	err  error // set before done is closed
	from int64 // where in the log its lines begin
}

// spawn starts the process, detached from the caller: of a session of its own,
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
	// Lives as long as both processes do: without it an ended child would stay
	// as a zombie until the caller ends.
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

// served says whether the process ended as it was told, or should by itself.
func (c *child) served(f files) bool {
	r, err := parse(f.lock())
	return err == nil && r != nil && r.PID == c.pid && r.Error == "" && c.err == nil
}

// failure says why the process ended before it could be used: in its own words
// if it left them, otherwise with what it printed.
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
