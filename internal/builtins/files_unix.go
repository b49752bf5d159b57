//go:build unix

package builtins

import (
	"syscall"
)

// noBlock makes opening a fifo return immediately.
const noBlock = syscall.O_NONBLOCK
