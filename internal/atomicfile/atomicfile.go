// Package atomicfile writes files of which others see all or nothing.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Left returns the pattern of what processes that were killed while they wrote have
// left beside the files of that name, which may be a pattern itself.
func Left(name string) string { return "." + name + ".new-*" }

// Write writes a file, so that whoever opens it finds all of data or what was there
// before, also after a power cut. A directory that does not exist is created for its
// owner only. What is at path and is not a file, such as a directory that a damaged
// disk left there, is removed.
func Write(path string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, Left(filepath.Base(path)))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if info, e := os.Lstat(path); e == nil && !info.Mode().IsRegular() {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return os.Rename(temp.Name(), path)
}
