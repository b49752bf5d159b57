package reach

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/pipelinefile/pipe/internal/ports"
)

// A TakenError means that a local port cannot be listened on.
type TakenError struct {
	Port    int
	Holder  string // the process that uses it, such as "node (process 4242)"; empty if unknown
	Service string // the service whose forward uses it; empty if it is not a forward
	Err     error  // of the system, such as permission denied
}

func (e *TakenError) Error() string {
	switch {
	case e.Service != "":
		return fmt.Sprintf("local port %d is taken by the forward of %s", e.Port, e.Service)
	case e.Holder != "":
		return fmt.Sprintf("local port %d is taken by %s", e.Port, e.Holder)
	case ports.InUse(e.Err):
		return fmt.Sprintf("local port %d is taken by another program", e.Port)
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("local port %d is not permitted to this user", e.Port)
	}
	return fmt.Sprintf("local port %d: %v", e.Port, e.Err)
}

func (e *TakenError) Unwrap() error { return e.Err }

// loopback are the addresses of "localhost": a client may try either.
var loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// listen listens on a port of all addresses. Port 0 is any port that is free on all of them.
// All addresses except the first may be missing on a machine. The error is a *TakenError.
func listen(addrs []netip.Addr, port int) ([]*net.TCPListener, int, error) {
	const attempts = 20 // until a port is free on all addresses
	for attempt := 1; ; attempt++ {
		all, got, err := listenAll(addrs, port)
		if err == nil || port != 0 || attempt == attempts || !ports.InUse(err) {
			return all, got, err
		}
	}
}

func listenAll(addrs []netip.Addr, port int) (all []*net.TCPListener, got int, err error) {
	got = port
	for i, addr := range addrs {
		at := &net.TCPAddr{IP: addr.AsSlice(), Zone: addr.Zone(), Port: got}
		l, err := net.ListenTCP("tcp", at)
		switch {
		case err == nil:
			all = append(all, l)
			if tcp, ok := l.Addr().(*net.TCPAddr); ok {
				got = tcp.Port
			}
		case i == 0 || ports.InUse(err):
			for _, l := range all {
				_ = l.Close()
			}
			taken := &TakenError{Port: got, Err: err}
			if p, ok := ports.Holder(at.AddrPort()); ok {
				taken.Holder = p.String()
			}
			return nil, 0, taken
		}
	}
	return all, got, nil
}
