// Package dns runs the DNS server of a cluster: CoreDNS, in a process of the machine.
//
// It runs on the machine instead of in a pod. So it does not need an image, and it reaches the
// machine's own name servers even if they listen only on the loopback interface. Pods reach it through
// a Service whose only endpoint is the node's address.
package dns

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/bind" // for its directive, like those below
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

// Port is the port on the node's address. The Service has the standard one.
const Port = 10053

// Server is the DNS server of a cluster.
type Server struct {
	Address    string // where it listens
	Kubeconfig string
	Context    string // in the kubeconfig
	// ResolvConf names the servers for all names outside the cluster. It is read repeatedly, as a
	// workstation may change its network.
	ResolvConf string
}

// Run serves until the context ends.
func (s Server) Run(ctx context.Context) error {
	caddy.Quiet, dnsserver.Quiet = true, true
	caddy.AppName = "pipe-cluster"
	up := upstreams(s.ResolvConf)
	running, err := caddy.Start(s.corefile(up))
	if err != nil {
		return fmt.Errorf("start CoreDNS: %w", err)
	}
	defer func() { _ = running.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Second):
		}
		now := upstreams(s.ResolvConf)
		if slices.Equal(now, up) {
			continue
		}
		next, err := running.Restart(s.corefile(now))
		if err != nil {
			return fmt.Errorf("restart CoreDNS with name servers %v: %w", now, err)
		}
		running, up = next, now
	}
}

func (s Server) corefile(upstreams []string) caddy.CaddyfileInput {
	var b strings.Builder
	fmt.Fprintf(&b, `.:%d {
	bind %s
	errors
	cache 30 {
		# What is in the cluster is known here anyway, and changes.
		disable success cluster.local
		disable denial cluster.local
	}
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig %q %s
		pods insecure
		ttl 5
		fallthrough in-addr.arpa ip6.arpa
	}
`, Port, s.Address, s.Kubeconfig, s.Context)
	if len(upstreams) > 0 {
		fmt.Fprintf(&b, "\tforward . %s {\n\t\tpolicy sequential\n\t}\n", strings.Join(upstreams, " "))
	}
	b.WriteString("}\n")
	return caddy.CaddyfileInput{Filepath: "Corefile", Contents: []byte(b.String()), ServerTypeName: "dns"}
}

// upstreams returns the name servers in a resolv.conf, in the format of CoreDNS.
func upstreams(file string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil // a machine without a network
	}
	var all []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" || slices.Contains(all, f[1]) {
			continue
		}
		if addr, _, _ := strings.Cut(f[1], "%"); net.ParseIP(addr) != nil {
			all = append(all, f[1])
		}
	}
	return all
}
