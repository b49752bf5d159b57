package background

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/pipelinefile/pipe/internal/filelock"
)

// A lock is held until unlock, or until the process ends in any way.
type lock struct{ file *os.File }

type mode int

const (
	shared mode = iota
	exclusive
)

var (
	errHeld   = errors.New("held by another")
	errShared = errors.New("shared by others")
)

// tryLock locks the file, which it creates if necessary, or returns nil if it is locked
// through another open file, even one of this process.
func tryLock(path string, m mode) (*lock, error) {
	file, err := open(path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	l := &lock{file}
	switch err := l.acquire(m); {
	case errors.Is(err, errHeld):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return l, nil
}

// acquire locks the file of l, or closes it.
func (l *lock) acquire(m mode) error {
	locked, err := filelock.TryLock(l.file, m == shared)
	if locked {
		return nil
	}
	l.file.Close()
	if err == nil {
		return errHeld
	}
	return fmt.Errorf("lock %s: %w (the directory must be on a local disk)", l.file.Name(), err)
}

// lockSoon acquires an exclusive lock that others may share for moments. errHeld means
// that it is held exclusively, errShared that it was shared for a whole second.
func lockSoon(ctx context.Context, path string) (*lock, error) {
	for range 250 {
		l, err := tryLock(path, exclusive)
		if err != nil || l != nil {
			return l, err
		}
		// Waiting for its end here would start a second process for one Ensure.
		if alive, err := held(path); err != nil || alive {
			return nil, errors.Join(err, errHeld)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pollFast):
		}
	}
	return nil, errShared
}

// held reports whether the file is locked exclusively. Checking
// shares the lock for a moment; exclusive lockers retry.
func held(path string) (bool, error) {
	file, err := open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l := &lock{file}
	switch err := l.acquire(shared); {
	case errors.Is(err, errHeld):
		return true, nil
	case err != nil:
		return false, err
	}
	l.unlock()
	return false, nil
}

// unlock releases the lock; it does nothing for nil and unlocked locks.
func (l *lock) unlock() {
	if l != nil {
		l.file.Close() // this releases the system's lock
	}
}
