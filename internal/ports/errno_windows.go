package ports

import (
	"errors"
	"syscall"
)

// addressInUse is WSAEADDRINUSE, which the standard library does not name.
const addressInUse = syscall.Errno(10048)

func inUse(err error) bool { return errors.Is(err, addressInUse) }
