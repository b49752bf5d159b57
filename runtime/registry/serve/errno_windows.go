package serve

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isFull says whether nothing can be written for want of space, or of quota.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// inUse says whether an address cannot be listened at since another does.
func inUse(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE)
}
