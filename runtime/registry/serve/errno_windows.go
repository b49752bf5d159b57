package serve

import (
	"errors"
	"syscall"
)

// Error numbers of Windows that the standard library does not define.
const (
	noSpace       = syscall.Errno(112)  // ERROR_DISK_FULL
	quotaExceeded = syscall.Errno(1295) // ERROR_DISK_QUOTA_EXCEEDED
)

// isFull reports whether a write failed because the disk is full or a quota is exceeded.
func isFull(err error) bool {
	return errors.Is(err, noSpace) || errors.Is(err, quotaExceeded)
}
