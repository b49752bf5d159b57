// Package content detects whether the content of a file has changed. It reads a file
// only if its metadata does not decide that.
package content

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A Stamp is the metadata that changes with the content of a file.
type Stamp struct {
	Size, Mtime, Ctime int64 // bytes; nanoseconds since 1970
	Inode              uint64
}

// StampOf returns the stamp of a file. On systems without change times
// and inode numbers, these are 0.
func StampOf(info fs.FileInfo) Stamp {
	s := Stamp{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	s.Ctime, s.Inode = inode(info)
	return s
}

// Settled reports whether a file with the stamp, read after began, would have
// another stamp if it had changed since. The clocks of file systems are coarse:
// a file that changes at the moment when it is read can keep its times.
func (s Stamp) Settled(began time.Time) bool {
	coarse := 100 * time.Millisecond
	if s.Mtime%1e9 == 0 {
		coarse = 2 * time.Second // a file system that stores whole seconds
	}
	return max(s.Mtime, s.Ctime) < began.Add(-coarse).UnixNano()
}

// A Sum is the SHA-256 digest of a file's content.
type Sum [sha256.Size]byte

// ErrMoving means that a file changed while it was read.
var ErrMoving = errors.New("it changed while it was read")

// Read computes the digest of the regular file at path into to. The file must
// have the stamp want before and after; otherwise the error is [ErrMoving]. It
// uses h, a SHA-256 hash, and buf for reading.
func Read(path string, want Stamp, h hash.Hash, buf []byte, to *Sum) error {
	// The file may have been replaced by a FIFO: opening must not block.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return err
	}
	if !before.Mode().IsRegular() || StampOf(before) != want {
		return fmt.Errorf("%s: %w", path, ErrMoving)
	}
	h.Reset()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{file}, buf); err != nil {
		return err
	}
	after, err := file.Stat()
	if err != nil {
		return err
	}
	if StampOf(after) != want {
		return fmt.Errorf("%s: %w", path, ErrMoving)
	}
	h.Sum(to[:0])
	return nil
}

// Mode returns the part of a file's mode that belongs to a build context: its type, and
// whether it is executable.
func Mode(m fs.FileMode) fs.FileMode {
	switch {
	case m&fs.ModeSymlink != 0:
		return fs.ModeSymlink | 0o777
	case m.IsDir():
		return fs.ModeDir | 0o755
	case m&0o100 != 0:
		return m&(fs.ModeSetuid|fs.ModeSetgid) | 0o755
	}
	return 0o644
}
