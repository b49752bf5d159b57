//go:build !windows

package serve

import (
	"errors"
	"syscall"
)

// isFull says whether nothing can be written for want of space, or of quota.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
