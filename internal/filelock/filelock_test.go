package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAcquire: callers take turns, also if the file is removed meanwhile.
func TestAcquire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	var wait sync.WaitGroup
	var holders, count atomic.Int32
	for range 8 {
		wait.Go(func() {
			for range 5 {
				release, err := Acquire(t.Context(), path)
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				holders.Add(-1)
				if count.Add(1)%7 == 0 {
					if err := os.Remove(path); err != nil { // the next ones lock a new file, perhaps before the release
						t.Error(err)
					}
				}
				release()
			}
		})
	}
	wait.Wait()
	if n := count.Load(); n != 40 {
		t.Errorf("the lock was held %d times", n)
	}
}

// TestAcquireCancelled: a caller that waits returns when its context is done.
func TestAcquireCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := Acquire(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := Acquire(ctx, path); !errors.Is(err, enough) {
		t.Errorf("Acquire = %v", err)
	}
	release()
	again, err := Acquire(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := Acquire(t.Context(), filepath.Join(path, "below a file")); err == nil {
		t.Error("a file was locked below a file")
	}
}

// TestTryTemp: the file exists only while it is locked.
func TestTryTemp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		release, err := TryTemp(path)
		if err != nil || release == nil {
			t.Fatalf("TryTemp = %v", err)
		}
		if again, err := TryTemp(path); err != nil || again != nil {
			t.Errorf("TryTemp of a locked file: %v, locked %v", err, again != nil)
		}
		release()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file after the lock: %v", err)
		}
	}
}

// TestAwait: any number of callers wait until a lock is released, and do not keep it from others.
func TestAwait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := Await(t.Context(), path); err != nil {
		t.Errorf("Await of a lock that does not exist = %v", err)
	}
	for name, lock := range map[string]func(string) (func(), error){"kept": Try, "removed": TryTemp} {
		release, err := lock(path)
		if err != nil || release == nil {
			t.Fatalf("%s: %v", name, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		cancel(enough)
		if err := Await(ctx, path); !errors.Is(err, enough) {
			t.Errorf("%s: Await = %v", name, err)
		}
		var wait sync.WaitGroup
		var held atomic.Bool
		held.Store(true)
		for range 4 {
			wait.Go(func() {
				if err := Await(t.Context(), path); err != nil || held.Load() {
					t.Errorf("%s: Await = %v, while the lock is held: %v", name, err, held.Load())
				}
			})
		}
		held.Store(false)
		release()
		wait.Wait()
		again, err := Try(path)
		if err != nil || again == nil {
			t.Fatalf("%s: after Await the lock is held, or %v", name, err)
		}
		again()
	}
	if err := Await(t.Context(), filepath.Join(path, "below a file")); err == nil {
		t.Error("a lock below a file was awaited")
	}
}
