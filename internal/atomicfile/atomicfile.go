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
