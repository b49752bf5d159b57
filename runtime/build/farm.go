package build

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"

	"github.com/pipelinefile/pipe/plan"
)

// farmScheme begins the address of a farm, kube://NAMESPACE?context=CONTEXT.
const farmScheme = "kube://"

// A FarmAddress names a farm: the builders in one namespace of a cluster, which come and go (I22).
type FarmAddress struct {
	Namespace string
	Context   string // of the kubeconfig; empty: the cluster of the run
}

// A Member is a builder of a farm.
type Member struct {
	// Name is unique in the farm. It is kept when the builder is replaced, since its cache is.
	Name string
	// Instance changes when the builder is replaced: connections to the former one are dead.
	Instance string
	// Dial connects to the builder. It is called again when a connection has ended.
	Dial func(ctx context.Context) (net.Conn, error)
	// Limits are those of each command of a build there. Zero: those of Options.
	Limits Limits
}

// farmOf returns the farm that addr is the address of, if it is one.
func farmOf(addr string) (FarmAddress, bool) {
	f, err := parseFarm(addr)
	return f, err == nil
}

// parseFarm parses the address of a farm. The error says what is wrong with it.
func parseFarm(addr string) (FarmAddress, error) {
	rest, ok := strings.CutPrefix(addr, farmScheme)
	namespace, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if !ok || err != nil || plan.CheckName(namespace, plan.MaxName) != nil {
		return FarmAddress{}, errors.New("the address of builders in a cluster is kube://NAMESPACE, or kube://NAMESPACE?context=CONTEXT for another cluster than that of the run")
	}
	for name, all := range values {
		switch {
		case name != "context":
			return FarmAddress{}, fmt.Errorf("%q is not known: the only parameter is context=CONTEXT", name)
		case len(all) != 1 || all[0] == "":
			return FarmAddress{}, errors.New("context= needs one value: the name of a context of the kubeconfig")
		}
	}
	return FarmAddress{namespace, values.Get("context")}, nil
}

// find updates the nodes: those of a farm are the builders that are ready now. A node that is
// not ready any more may still end its builds. If a farm cannot be used, but there are other
// builders, absent is the reason.
func (p *pool) find(ctx context.Context) (absent *UnreachableError, err error) {
	var nodes []*node
	farms := false
	for _, addr := range p.opts.Addresses {
		farm, ok := farmOf(addr)
		if !ok {
			p.mu.Lock()
			nodes = append(nodes, p.node(addr, ""))
			p.mu.Unlock()
			continue
		}
		farms = true
		members, err := p.members(ctx, farm)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			absent = &UnreachableError{Addr: farmScheme + farm.Namespace, Err: err}
			continue
		}
		p.mu.Lock()
		for _, m := range members {
			// Without the context, which has other names on other machines.
			n := p.node(farmScheme+farm.Namespace+"/"+m.Name, addr)
			n.setMember(m)
			nodes = append(nodes, n)
		}
		p.mu.Unlock()
	}
	if !farms {
		return nil, nil
	}
	if len(nodes) == 0 {
		return nil, absent
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = nodes
	return absent, nil
}

// members returns the ready builders of a farm, in the order of their names.
func (p *pool) members(ctx context.Context, farm FarmAddress) ([]Member, error) {
	if p.opts.Farm == nil {
		return nil, errors.New("no cluster is known here")
	}
	all, err := p.opts.Farm(ctx, farm)
	if err == nil && len(all) == 0 {
		err = errors.New("none is ready")
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// setMember records how n is reached now. A client of the builder that was replaced would try to
// connect again only after some time.
func (n *node) setMember(m Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if m.Instance != n.member.Instance && n.client != nil {
		_ = n.client.Close() // it cannot be used
		n.client = nil
	}
	n.member = m
}

// options are those of a client of a member of a farm.
func (n *node) options() []client.ClientOpt {
	return []client.ClientOpt{client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		n.mu.Lock()
		dial := n.member.Dial // certificates may have been renewed
		n.mu.Unlock()
		return dial(ctx)
	})}
}
