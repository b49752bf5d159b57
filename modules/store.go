package modules

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/filelock"
	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/plan"
)

// A store is the directory of fetched files. Each file is stored under its digest, so
// concurrent writes of a file are identical.
type store struct {
	dir    string
	bounds bounds
}

// add stores the files of a module, and then their listing.
func (s store) add(files map[string][]byte) (lock.Listing, error) {
	listing := lock.Listing{}
	for name, data := range files {
		listing[name] = plan.DigestOf(data)
		if err := s.put(data); err != nil {
			return nil, err
		}
	}
	if len(listing.Bytes()) > lock.MostSize {
		return nil, fmt.Errorf("the module's file names are longer than %d bytes in total", lock.MostSize)
	}
	return listing, s.put(listing.Bytes())
}

func (s store) put(data []byte) error {
	d := plan.DigestOf(data)
	if _, err := lock.ReadFile(Cache(s.dir), d); err == nil {
		return nil
	}
	return atomicfile.Write(filepath.Join(s.dir, lock.Name(d)), data, 0o600)
}

// whole returns the listing with that digest, if all its files exist and match it.
func (s store) whole(ctx context.Context, d plan.Digest) (lock.Listing, error) {
	listing, err := lock.ReadListing(Cache(s.dir), d)
	if err != nil {
		return nil, err
	}
	for _, name := range listing.Names() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if _, err := lock.ReadFile(Cache(s.dir), listing[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return listing, nil
}

// lock waits until no other process fetches into this store. The operating system
// releases the lock if the process is killed.
func (s store) lock(ctx context.Context) (unlock func(), err error) {
	unlock, err = filelock.Acquire(ctx, filepath.Join(s.dir, ".lock"))
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("wait for another pipe mod: %w", err)
		}
		return nil, err
	}
	s.sweep()
	return unlock, nil
}

// sweep removes leftovers of killed processes. The caller must hold the lock, which all
// writers hold.
func (s store) sweep() {
	removeAll(s.dir, atomicfile.Left("*"))
	removeAll(s.dir, ".git-*")
}

func removeAll(dir, pattern string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if ok, err := path.Match(pattern, e.Name()); ok && err == nil {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // harmless if it fails
		}
	}
}
