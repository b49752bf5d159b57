package ports_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/pipelinefile/pipe/internal/ports"
)

// TestHolder: the process that listens on an address is found, even if it listens on all
// addresses, and none is found if no process listens.
func TestHolder(t *testing.T) {
	us := ports.Process{PID: os.Getpid(), Name: filepath.Base(os.Args[0])}
	us.Name = us.Name[:min(len(us.Name), 15)] // as the kernel stores it
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(listen, func(t *testing.T) {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			at := netip.MustParseAddrPort(l.Addr().String())
			if at.Addr().IsUnspecified() {
				at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
			}
			if got, ok := ports.Holder(at); !ok || got != us {
				t.Errorf("Holder(%s) = %v, %v, want %v", at, got, ok, us)
			}
			_, err = net.Listen("tcp", at.String())
			if !ports.InUse(err) {
				t.Errorf("InUse(%v) = false", err)
			}
			l.Close()
			if got, ok := ports.Holder(at); ok {
				t.Errorf("Holder(%s) = %v after it was closed", at, got)
			}
		})
	}
}
