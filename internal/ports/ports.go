// Package ports finds the process that uses a local port.
package ports

import (
	"fmt"
	"net/netip"
)

// A Process is a process that listens on a port.
type Process struct {
	Name string // name of its program, such as "node"
	PID  int
}

// String returns the process as in "node (process 4242)".
func (p Process) String() string { return fmt.Sprintf("%s (process %d)", p.Name, p.PID) }

// Holder returns the process that listens on addr, or on its port on all addresses. It
// returns false on systems other than Linux, and if the process belongs to another user.
func Holder(addr netip.AddrPort) (Process, bool) { return holder(addr) }

// InUse reports whether err says that a process cannot listen on an address because the
// address is in use.
func InUse(err error) bool { return inUse(err) }
