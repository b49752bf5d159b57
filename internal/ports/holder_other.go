//go:build !linux

package ports

import "net/netip"

// holder returns false: this system has no simple way to find the process.
func holder(netip.AddrPort) (Process, bool) { return Process{}, false }
