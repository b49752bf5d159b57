package local

import (
	"net"
	"net/netip"
	"net/url"
)

// A Place describes the cluster that options name, according to the kubeconfig.
type Place struct {
	Context string // of the kubeconfig; empty: the local Kubernetes of pipe
	Host    string // address of the API server; empty if it is not known yet
	// Local reports whether the API server is on this machine: it is that of
	// Options.Local, or its address is loopback or an address of this machine.
	Local bool
}

// Where returns the cluster that opts name, without a request. If the kubeconfig
// cannot be used, the error is an *UnavailableError.
func Where(opts Options) (Place, error) {
	if opts.Local {
		return Place{Local: true}, nil
	}
	config, context, _, err := kubeconfig(opts.Kubeconfig, opts.Context)
	if err != nil {
		return Place{}, noCluster(err, "name a kubeconfig or a context of it, or use a cluster on this machine")
	}
	return Place{Context: context, Host: config.Host, Local: onThisMachine(config.Host)}, nil
}

// onThisMachine reports whether the host of a URL is this machine. Names other than
// localhost are not resolved.
func onThisMachine(server string) bool {
	host := server
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if h, _, err := net.SplitHostPort(server); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	if addr.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}
