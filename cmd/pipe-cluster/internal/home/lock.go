package home

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// ErrHeld says that another process holds the lock.
var ErrHeld = errors.New("held by another process")

// Lock is a lock on a file, which the kernel lets go when its holder dies, however it dies.
type Lock struct{ f *os.File }

// TryLock takes the lock at path, whose file it creates, or returns ErrHeld at once.
func TryLock(path string) (*Lock, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // the folder was removed in between
		}
		if err != nil {
			return nil, err
		}
		if err := flock(f); err != nil {
			f.Close()
			return nil, err
		}
		// Its last holder may have removed the file: then this is a lock on nothing.
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

// WaitLock takes the lock at path when its holder lets go. It calls waiting once if that is not at once.
func WaitLock(ctx context.Context, path string, waiting func()) (*Lock, error) {
	for told := false; ; {
		l, err := TryLock(path)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		if !told {
			waiting()
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Unlock lets go. The file stays.
func (l *Lock) Unlock() { l.f.Close() }

// SupervisorLock is held by the supervisor as long as it lives.
func (d Dir) SupervisorLock() string { return d.Path("supervisor.lock") }

// SupervisorAlive reports whether a supervisor holds this folder.
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
