package node

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// Networks chooses the networks of a new real cluster: the default ones, or others if the machine uses
// the default ones already.
func Networks() (home.Config, error) {
	used, err := usedNetworks()
	if err != nil {
		return home.Config{}, fmt.Errorf("list the machine's networks: %w", err)
	}
	return config(chooseNetworks(used)), nil
}

// config returns the configuration of a real cluster with the given second bytes of its networks.
func config(pods, services int) home.Config {
	return home.Config{
		Node:        home.Real,
		Address:     fmt.Sprintf("10.%d.128.1", pods), // pods have lower addresses: see podRange
		Port:        6443,
		PodCIDR:     fmt.Sprintf("10.%d.0.0/16", pods),
		ServiceCIDR: fmt.Sprintf("10.%d.0.0/16", services),
	}
}

// Config returns the configuration that Networks chose, given the address of the API server. It
// returns false if Networks cannot have chosen the address.
func Config(address string) (home.Config, bool) {
	for i := range networkPairs {
		if c := config(firstPods-i, firstServices-i); c.Address == address {
			return c, true
		}
	}
	return home.Config{}, false
}

// The second bytes of the default networks, and the number of lower pairs that are tried.
const (
	firstPods     = 244
	firstServices = 96
	networkPairs  = 64
)

// chooseNetworks returns the second bytes of the networks of pods and services.
func chooseNetworks(used []net.IPNet) (pods, services int) {
	free := func(second int) bool {
		_, n, _ := net.ParseCIDR(fmt.Sprintf("10.%d.0.0/16", second))
		for _, u := range used {
			// Ours have precedence over wider ones: the 10.0.0.0/8 of a company rarely has a host in
			// them.
			if ones, _ := u.Mask.Size(); ones > 8 && (n.Contains(u.IP) || u.Contains(n.IP)) {
				return false
			}
		}
		return true
	}
	for i := range networkPairs {
		if free(firstPods-i) && free(firstServices-i) {
			return firstPods - i, firstServices - i
		}
	}
	return firstPods, firstServices
}

func usedNetworks() ([]net.IPNet, error) {
	own := -1
	if l, err := netlink.LinkByName(Interface); err == nil {
		own = l.Attrs().Index
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var used []net.IPNet
	for _, r := range routes {
		if r.Dst != nil && r.LinkIndex != own {
			used = append(used, *r.Dst)
		}
	}
	return used, nil
}

// podRange returns the addresses for pods: the lower half of their network, whose first address is
// that of the gateway.
func podRange(c home.Config) (gateway, first, last net.IP, err error) {
	_, n, err := net.ParseCIDR(c.PodCIDR)
	if err != nil {
		return nil, nil, nil, err
	}
	a, b := n.IP.To4()[0], n.IP.To4()[1]
	return net.IPv4(a, b, 0, 1), net.IPv4(a, b, 0, 2), net.IPv4(a, b, 127, 254), nil
}

// upNetwork creates the interface with the node's address, a route for the services, and the firewall
// rules that give pods access to the internet.
func upNetwork(ctx context.Context, c home.Config) error {
	link, err := netlink.LinkByName(Interface)
	if err != nil {
		// A bridge without ports: unlike a dummy interface, even small kernels support it.
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: Interface, TxQLen: -1}}); err != nil {
			return fmt.Errorf("make interface %s: %w", Interface, err)
		}
		if link, err = netlink.LinkByName(Interface); err != nil {
			return err
		}
	}
	address := net.IPNet{IP: net.ParseIP(c.Address), Mask: net.CIDRMask(32, 32)}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &address}); err != nil {
		return fmt.Errorf("give %s to interface %s: %w", c.Address, Interface, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set interface %s up: %w", Interface, err)
	}
	// Without this route, a machine that has no other network could not call a service: the kernel
	// looks up the route before kube-proxy changes the destination.
	_, services, err := net.ParseCIDR(c.ServiceCIDR)
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: services, Src: address.IP, Scope: unix.RT_SCOPE_LINK}); err != nil {
		return fmt.Errorf("route services to interface %s: %w", Interface, err)
	}
	if err := passFirewall(ctx, c.PodCIDR); err != nil {
		return fmt.Errorf("let pods through the machine's firewall: %w", err)
	}
	return nft(ctx, fmt.Sprintf(`
table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
	chain postrouting {
		type nat hook postrouting priority srcnat
		ip saddr %[2]s ip daddr != %[2]s masquerade
	}
}
`, table, c.PodCIDR))
}

// downNetwork undoes upNetwork, and removes what kube-proxy and the CNI plugins may have left.
func downNetwork(ctx context.Context, c home.Config) error {
	var errs []error
	if _, pods, err := net.ParseCIDR(c.PodCIDR); err == nil {
		routes, _ := netlink.RouteList(nil, netlink.FAMILY_V4)
		for _, r := range routes {
			if r.Dst == nil || !pods.Contains(r.Dst.IP) {
				continue
			}
			if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil && l.Type() == "veth" {
				errs = append(errs, gone(netlink.LinkDel(l)))
			}
		}
	}
	if l, err := netlink.LinkByName(Interface); err == nil {
		errs = append(errs, gone(netlink.LinkDel(l)))
	}
	if _, err := find("nft"); err == nil {
		errs = append(errs, unpassFirewall(ctx))
		for _, t := range []string{"ip " + table, "ip kube-proxy", "ip6 kube-proxy"} {
			// Creating the table first makes the deletion idempotent.
			errs = append(errs, nft(ctx, "table "+t+"\ndelete table "+t+"\n"))
		}
	}
	return errors.Join(errs...)
}

// gone returns err, unless it says that the object to be removed was not found.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// mtu returns the maximum size of packets that the machine can send to the internet.
func mtu() int {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err == nil {
		for _, r := range routes {
			if r.Dst != nil && r.Dst.IP.IsUnspecified() || r.Dst == nil {
				if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil && l.Attrs().MTU > 0 {
					return l.Attrs().MTU
				}
			}
		}
	}
	return 1500
}
