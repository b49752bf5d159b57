//go:build !windows

package background

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile does not block; errHeld means that the file is locked.
func lockFile(file *os.File, m mode) error {
	how := unix.LOCK_NB | unix.LOCK_SH
	if m == exclusive {
		how = unix.LOCK_NB | unix.LOCK_EX
	}
	for {
		switch err := unix.Flock(int(file.Fd()), how); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errHeld
		default:
			return err
		}
	}
}
