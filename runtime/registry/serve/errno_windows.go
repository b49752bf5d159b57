package serve

import (
	"errors"
	"syscall"
)

// Numbers of Windows, which the standard library does not name.
const (
	noSpace       = syscall.Errno(112)  // ERROR_DISK_FULL
	quotaExceeded = syscall.Errno(1295) // ERROR_DISK_QUOTA_EXCEEDED
)

// isFull says whether nothing can be written for want of space, or of quota.
func isFull(err error) bool {
	return errors.Is(err, noSpace) || errors.Is(err, quotaExceeded)
}
