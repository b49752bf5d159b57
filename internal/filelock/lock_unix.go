//go:build !windows

package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func tryLock(file *os.File, shared bool) (bool, error) {
	how := unix.LOCK_NB | unix.LOCK_EX
	if shared {
		how = unix.LOCK_NB | unix.LOCK_SH
	}
	for {
		switch err := unix.Flock(int(file.Fd()), how); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}
