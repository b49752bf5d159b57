// Package ports tells which process has a local port that others want.
package ports

import (
	"fmt"
	"net/netip"
)

// A Process is one that listens at a port.
type Process struct {
	Name string // of its program, such as "node"
	PID  int
}

// String is "node (process 4242)".
func (p Process) String() string { return fmt.Sprintf("%s (process %d)", p.Name, p.PID) }

// Holder returns the process that listens at addr, or at its port on all
// addresses. It is not found on systems other than Linux, nor if it is another
// user's.
func Holder(addr netip.AddrPort) (Process, bool) { return holder(addr) }

// InUse reports whether err says that an address cannot be listened at because
// somebody else does.
func InUse(err error) bool { return inUse(err) }
