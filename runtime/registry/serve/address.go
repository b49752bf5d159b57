package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/ports"
)

// listen listens at the address of o, which was chosen at the first start. If the address
// file is damaged, the address comes from the state that a killed process has left. If there
// is none, listen chooses a new address and reports this with note.
func listen(ctx context.Context, o Options, note func(string)) (net.Listener, error) {
	if o.Addr != "" {
		return listenLoopback(ctx, o.Addr)
	}
	path := filepath.Join(o.Dir, "address")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(path, 0o600) == nil { // the file belongs to this user
		data, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return choose(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	addr := strings.TrimSpace(string(data))
	if at, err := netip.ParseAddrPort(addr); err != nil || at.Port() == 0 {
		addr = o.Process().LastAddr()
		if _, err := netip.ParseAddrPort(addr); err != nil {
			note(fmt.Sprintf("%s was damaged, as by a full disk or a power cut: the registry has a new address, and services are deployed again", path))
			return choose(ctx, path)
		}
		note(fmt.Sprintf("%s was damaged, as by a full disk or a power cut, and is written again", path))
		if err := atomicfile.Write(path, []byte(addr+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	l, err := listenLoopback(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%w. Releases name their images by this address: end what uses it, or use another registry; "+
			"to give the registry a new address, remove %s, and the next run deploys all services again", occupied(addr, err), path)
	}
	return l, nil
}

// occupied adds to err which process listens at addr, if the address is in use.
func occupied(addr string, err error) error {
	if !ports.InUse(err) {
		return err
	}
	who := "another program"
	if at, err := netip.ParseAddrPort(addr); err == nil {
		if p, ok := ports.Holder(at); ok {
			who = p.String()
		}
	}
	return fmt.Errorf("the address of the embedded registry, %s, is in use by %s", addr, who)
}

// listenLoopback listens at addr, which must not be reachable from other machines.
func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("address %s is not loopback", addr)
	}
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", addr)
}

// Ports are chosen below the ephemeral ports of operating systems, because an outgoing
// connection could otherwise hold the port at the next start, and below the node ports of
// Kubernetes.
const (
	firstPort = 20000
	portCount = 10000
)

// choose listens at a free address and writes it to path.
func choose(ctx context.Context, path string) (net.Listener, error) {
	var last error
	for range 100 {
		l, err := listenLoopback(ctx, fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(portCount)))
		if err != nil {
			last = err
			continue
		}
		if err := atomicfile.Write(path, []byte(l.Addr().String()+"\n"), 0o600); err != nil {
			l.Close()
			return nil, err
		}
		return l, nil
	}
	return nil, fmt.Errorf("no free port found: %w", last)
}
