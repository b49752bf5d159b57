package eject

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// readmeName is the file that identifies a directory written by Write.
const readmeName = "README.md"

// mark is its first line.
const mark = "<!-- Written by pipe eject. -->\n"

// free returns an error unless dir may be written: it must be absent or empty
// or, with force, written by pipe eject.
func free(dir string, force bool) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) == 0:
		return nil
	case !force:
		return fmt.Errorf("directory %s is not empty; choose another with --dir, or replace the output of pipe eject with --force", dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, readmeName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.HasPrefix(text, []byte(mark)) {
		return fmt.Errorf("directory %s was not written by pipe eject, and --force replaces only such a directory; choose another with --dir", dir)
	}
	return nil
}

// replace replaces dir with a directory that fill writes. If that fails, dir is as it was before.
func replace(dir string, fill func(dir string) error) (err error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	// Create it beside dir, so that it is on the same disk.
	temp, err := os.MkdirTemp(parent, ".pipe-eject-")
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	next, old := filepath.Join(temp, "new"), filepath.Join(temp, "old")
	if err := os.Mkdir(next, 0o777); err != nil {
		return err
	}
	if err := fill(next); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(next, dir); err != nil {
		if back := os.Rename(old, dir); back != nil && !errors.Is(back, fs.ErrNotExist) {
			keep = true
			return fmt.Errorf("%w; the previous content of %s is in %s", err, dir, old)
		}
		return err
	}
	return nil
}

// filesOf lists the files below dir, slash-separated.
func filesOf(dir string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names) // by the whole path; the walk is by directory
	return names, err
}
