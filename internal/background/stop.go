package background

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// A State says what a process is doing.
type State string

// Where a process can stand.
const (
	Absent   State = "absent"   // there is none
	Starting State = "starting" // alive, and not to be used yet or any more
	Ready    State = "ready"
)

// A Status describes a process at one moment.
type Status struct {
	State   State
	PID     int    // unless Absent
	Version string // unless Absent
	Addr    string // if Ready
	Log     string // path of its log, whether or not there is one
}

// Status looks at the process and starts nothing.
func (p Process) Status() (Status, error) {
	f := files{p.Dir, p.Name}
	s := Status{State: Absent, Log: f.log()}
	r, err := read(f.addr())
	if err == nil && r != nil {
		s.State = Ready
	} else if err == nil {
		r, err = read(f.lock())
		if r != nil {
			s.State = Starting
		}
	}
	if err != nil {
		return Status{}, fmt.Errorf("background %s: %w", p.Name, err)
	}
	if r != nil {
		s.PID, s.Version, s.Addr = r.PID, r.Version, r.Addr
	}
	return s, nil
}

// LastAddr returns the address at which the process can be used, or could be before
// it was killed; "" if that is not known.
func (p Process) LastAddr() string {
	r, err := parse(files{p.Dir, p.Name}.addr())
	if err != nil || r == nil {
		return ""
	}
	return r.Addr
}

// grace is how long a process that was asked to end may take.
const grace = 20 * time.Second

// Stop asks the process to end, kills it if it takes longer than 20 seconds or
// if ctx is done first, and returns when it is gone. None is not an error.
func (p Process) Stop(ctx context.Context) error {
	if err := stop(ctx, files{p.Dir, p.Name}, true); err != nil {
		return fmt.Errorf("background %s: %w", p.Name, err)
	}
	return nil
}

// stop ends the process of f and waits until it is gone; with force it is
// killed if it does not end in time or ctx is done.
func stop(ctx context.Context, f files, force bool) error {
	late := time.NewTimer(grace)
	defer late.Stop()
	var asked int // whom
	for {
		alive, err := held(f.lock())
		if err != nil || !alive {
			return err
		}
		r, err := read(f.lock())
		if err != nil {
			return err
		}
		if r != nil && r.PID != asked {
			if err := f.signal(r.PID, askToEnd); err != nil {
				return err
			}
			asked = r.PID
		}
		select {
		case <-ctx.Done():
			if !force {
				return context.Cause(ctx)
			}
			return f.kill()
		case <-late.C:
			if !force {
				return fmt.Errorf("process %d of another version does not end", asked)
			}
			return f.kill()
		case <-time.After(pollFast):
		}
	}
}

// signal sends to a process that holds the lock. A handle of it is taken before
// the lock is looked at, so that it cannot be a later process of the same number
// (where the system has such handles, as Linux does).
func (f files) signal(pid int, send func(*os.Process) error) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil // gone
	}
	defer func() { _ = process.Release() }()
	if r, err := read(f.lock()); err != nil || r == nil || r.PID != pid {
		return err
	}
	if err := send(process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process %d: %w", pid, err)
	}
	return nil
}

// kill ends the process the hard way. That takes the system moments.
func (f files) kill() error {
	for range 1000 {
		r, err := read(f.lock())
		if err != nil {
			return err
		}
		if r != nil {
			if err := f.signal(r.PID, (*os.Process).Kill); err != nil {
				return err
			}
		}
		alive, err := held(f.lock())
		if err != nil || !alive {
			return err
		}
		time.Sleep(pollFast)
	}
	return errors.New("the killed process does not end")
}
