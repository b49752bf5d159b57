// Package filelock locks files, so that processes of one machine take turns, and removes temporary
// directories of killed processes, which hold a lock while they run.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// TryLock locks an open file until it is closed, and reports whether it has: not if it is locked
// through another open file, even one of this process. Any number of open files can have a
// shared lock, if none has another one.
func TryLock(file *os.File, shared bool) (locked bool, err error) { return tryLock(file, shared) }

// interval is how often a lock that another process holds is tried again.
const interval = 50 * time.Millisecond

// Acquire locks the file, which it creates with its directory if necessary, and waits until
// no other process, and no other caller in this one, holds the lock. The operating system
// releases the lock if the process is killed. The file may be removed while nobody holds
// the lock. When ctx is done, Acquire returns its cause.
func Acquire(ctx context.Context, path string) (release func(), err error) {
	err = poll(ctx, interval, func() (done bool, err error) {
		release, err = Try(path)
		return release != nil, err
	})
	return release, err
}

// poll calls try at intervals until it is done or fails. When ctx is done, poll returns its cause.
func poll(ctx context.Context, interval time.Duration, try func() (done bool, err error)) error {
	for {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}

// Await waits until nobody holds the lock of the file, which it does not create. So any number of
// processes wait for one, and none of them has to take its turn. When ctx is done, Await returns its
// cause.
func Await(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a lock that is removed with its file
	}
	if err != nil {
		return fmt.Errorf("wait for the lock %s: %w", path, err)
	}
	defer file.Close()
	return poll(ctx, interval/2, func() (free bool, err error) {
		if free, err = TryLock(file, true); err != nil {
			err = fmt.Errorf("wait for the lock %s: %w", path, err)
		}
		return free, err
	})
}

// Try locks the file as [Acquire] does, but does not wait: release is nil if the lock is held.
func Try(path string) (release func(), err error) { return lock(path, (*os.File).Close) }

// TryTemp is [Try] for a file that is only the lock: release removes it.
func TryTemp(path string) (release func(), err error) { return lock(path, unlock) }

// lock locks a file until release calls end with it, which must close it.
func lock(path string, end func(*os.File) error) (release func(), err error) {
	file, err := try(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if file == nil {
		return nil, nil
	}
	return func() { _ = end(file) }, nil // what cannot be removed is locked again by the next one
}

// try returns the locked file, or nil if it cannot be locked now.
func try(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	held, err := TryLock(file, false)
	if err == nil && held {
		// The last holder may have removed the file, and others would lock a new one.
		if held, err = same(file, path); err == nil && held {
			now := time.Now()
			_ = os.Chtimes(path, now, now) // so that it is not removed as an old file
			return file, nil
		}
	}
	return nil, errors.Join(err, file.Close())
}

// same reports whether an open file is the one at path.
func same(file *os.File, path string) (bool, error) {
	is, err := file.Stat()
	if err != nil {
		return false, err
	}
	at, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(is, at), err
}
