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

// Networks chooses the networks of a new real cluster: the usual ones, or others if the machine uses those.
func Networks() (home.Config, error) {
	used, err := usedNetworks()
	if err != nil {
		return home.Config{}, fmt.Errorf("list the machine's networks: %w", err)
	}
	return config(chooseNetworks(used)), nil
}

// config is a real cluster with these second bytes of its networks.
func config(pods, services int) home.Config {
	return home.Config{
		Node:        home.Real,
		Address:     fmt.Sprintf("10.%d.128.1", pods), // pods have the addresses below: see podRange
		Port:        6443,
		PodCIDR:     fmt.Sprintf("10.%d.0.0/16", pods),
		ServiceCIDR: fmt.Sprintf("10.%d.0.0/16", services),
	}
}

// Config is the real cluster that Networks chose, by the address of its API server; false if it is not one of those.
func Config(address string) (home.Config, bool) {
	for i := range networkPairs {
		if c := config(firstPods-i, firstServices-i); c.Address == address {
			return c, true
		}
	}
	return home.Config{}, false
}

// The second bytes of the networks that are chosen first, and how many pairs below them are tried.
const (
	firstPods     = 244
	firstServices = 96
	networkPairs  = 64
)

// chooseNetworks is the second byte of the pods' and the services' network.
func chooseNetworks(used []net.IPNet) (pods, services int) {
	free := func(second int) bool {
		_, n, _ := net.ParseCIDR(fmt.Sprintf("10.%d.0.0/16", second))
		for _, u := range used {
			// Ours win over wider ones: what a company calls 10.0.0.0/8 rarely has a host in them.
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

// podRange are the addresses that pods get: the lower half of their network, of which the first is the gateway's.
func podRange(c home.Config) (gateway, first, last net.IP, err error) {
	_, n, err := net.ParseCIDR(c.PodCIDR)
	if err != nil {
		return nil, nil, nil, err
	}
	a, b := n.IP.To4()[0], n.IP.To4()[1]
	return net.IPv4(a, b, 0, 1), net.IPv4(a, b, 0, 2), net.IPv4(a, b, 127, 254), nil
}

// upNetwork makes the interface with the node's address, a route for the services, and the way of pods into the world.
func upNetwork(ctx context.Context, c home.Config) error {
	link, err := netlink.LinkByName(Interface)
	if err != nil {
		// A bridge that nothing is ever attached to: every kernel has it, and unlike a dummy also small ones.
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
	// Without it, the machine could not call a service when it has no other network: a way is looked for before
	// kube-proxy sets another destination.
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

// downNetwork removes it, and what kube-proxy and the CNI plugins may have left.
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
			// Made first, so that it is there to be deleted.
			errs = append(errs, nft(ctx, "table "+t+"\ndelete table "+t+"\n"))
		}
	}
	return errors.Join(errs...)
}

// gone is the error, unless it says that what should be removed was not there.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// mtu is the size of packets that the machine can send to the world.
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
