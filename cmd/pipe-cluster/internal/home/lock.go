package home

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// ErrHeld is the error if another process holds the lock.
var ErrHeld = errors.New("held by another process")

// Lock is a lock on a file. The kernel releases it when its holder dies, however it dies.
type Lock struct{ f *os.File }

// TryLock takes the lock at path and creates its file if necessary. If the lock is held, it returns
// ErrHeld immediately.
func TryLock(path string) (*Lock, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // the directory was removed in between
		}
		if err != nil {
			return nil, err
		}
		if err := flock(f); err != nil {
			f.Close()
			return nil, err
		}
		// The last holder may have removed the file: then this lock is worthless.
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return &Lock{f}, nil
		}
		f.Close()
	}
}

// WaitLock takes the lock at path as soon as it is released. It calls waiting once if it has to wait.
func WaitLock(ctx context.Context, path string, waiting func()) (*Lock, error) {
	for reported := false; ; {
		l, err := TryLock(path)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		if !reported {
			waiting()
			reported = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Unlock releases the lock. The file is kept.
func (l *Lock) Unlock() { l.f.Close() }

// SupervisorLock returns the path of the lock that the supervisor holds as long as it lives.
func (d Dir) SupervisorLock() string { return d.Path("supervisor.lock") }

// SupervisorAlive reports whether a supervisor holds this directory.
func (d Dir) SupervisorAlive() (bool, error) {
	if _, err := os.Stat(d.SupervisorLock()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	l, err := TryLock(d.SupervisorLock())
	if errors.Is(err, ErrHeld) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	l.Unlock()
	return false, nil
}
