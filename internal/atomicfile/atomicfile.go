// Package atomicfile writes files atomically.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Left returns the pattern of temporary files that were left next to the file of that
// name by processes that were killed during Write. name may be a pattern itself.
func Left(name string) string { return "." + name + ".new-*" }

// Write writes a file atomically: readers see all of data or the previous content, even
// after a power failure. A missing directory is created with access for its owner only.
// If path exists and is not a regular file, such as a directory that a damaged disk has
// left there, it is removed.
func Write(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := temporary(path, data, mode)
	if err != nil {
		return err
	}
	if info, e := os.Lstat(path); e == nil && !info.Mode().IsRegular() {
		err = os.RemoveAll(path)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// Create writes a new file atomically: either it has all of data, or it does not exist. If
// path exists, the error is [fs.ErrExist].
func Create(path string, data []byte, mode fs.FileMode) error {
	temp, err := temporary(path, data, mode)
	if err != nil {
		return err
	}
	err = os.Link(temp, path)
	if _, e := os.Lstat(path); err != nil && errors.Is(e, fs.ErrNotExist) { // not every file system has links
		return os.Rename(temp, path)
	}
	_ = os.Remove(temp)
	return err
}

// temporary writes data to a new file next to path.
func temporary(path string, data []byte, mode fs.FileMode) (name string, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), Left(filepath.Base(path)))
	if err != nil {
		return "", err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		_ = os.Remove(temp.Name())
		return "", err
	}
	return temp.Name(), nil
}
