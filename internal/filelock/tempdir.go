package filelock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const lockSuffix = ".lock"

// TempDir creates a directory in dir, whose name begins with prefix; an empty dir is [os.TempDir].
// The caller removes it with release, which it must keep, because release holds the lock: a file
// beside the directory. If this process is killed before, [RemoveDead] removes the directory.
func TempDir(dir, prefix string) (path string, release func() error, err error) {
	if dir == "" {
		dir = os.TempDir()
	}
	for {
		file, err := os.CreateTemp(dir, prefix+"*"+lockSuffix)
		if err != nil {
			return "", nil, err
		}
		path := strings.TrimSuffix(file.Name(), lockSuffix)
		held, err := TryLock(file, false)
		if err == nil && held {
			held, err = same(file, file.Name()) // RemoveDead of another process may have removed it before it was locked
		}
		if err == nil && held {
			err = os.Mkdir(path, 0o700)
		}
		switch {
		case err == nil && held:
			return path, func() error { return errors.Join(os.RemoveAll(path), unlock(file)) }, nil
		case err != nil && !errors.Is(err, fs.ErrExist):
			return "", nil, errors.Join(err, unlock(file))
		}
		// Another name is tried.
		if err := unlock(file); err != nil {
			return "", nil, err
		}
	}
}

// unlock removes the file of a lock and releases the lock.
func unlock(file *os.File) error {
	first := os.Remove(file.Name()) // while it is held
	err := file.Close()
	if first != nil { // on Windows, an open file cannot be removed
		if again := os.Remove(file.Name()); !errors.Is(again, fs.ErrNotExist) {
			err = errors.Join(err, again)
		}
	}
	return err
}

// RemoveDead removes the directories that [TempDir] has created with dir and prefix for processes of
// this user that were killed. It leaves what it cannot remove.
func RemoveDead(dir, prefix string) {
	if dir == "" {
		dir = os.TempDir()
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name, isLock := strings.CutSuffix(e.Name(), lockSuffix)
		if !isLock || !strings.HasPrefix(name, prefix) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil || !ours(info) { // a directory that all can write to has files of others
			continue
		}
		path := filepath.Join(dir, name)
		file, err := os.OpenFile(path+lockSuffix, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		held, err := TryLock(file, false)
		if err == nil && held {
			held, err = same(file, file.Name())
		}
		if err != nil || !held || os.RemoveAll(path) != nil {
			_ = file.Close()
			continue
		}
		_ = unlock(file)
	}
}
