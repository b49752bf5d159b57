//go:build unix

package builtins

import (
	"syscall"
)

// noBlock makes opening a fifo return at once.
const noBlock = syscall.O_NONBLOCK
