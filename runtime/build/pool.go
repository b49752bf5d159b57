package build

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A pool distributes builds across builders.
type pool struct {
	opts     Options
	patience time.Duration // see the constant

	mu    sync.Mutex
	nodes []*node            // those that exist; guarded by mu
	known map[string]*node   // those that have ever existed, by address and farm; guarded by mu
	busy  map[*node][]*taken // builds; guarded by mu
	took  time.Duration      // the last build that succeeded; 0: none yet; guarded by mu
	aside map[*node]*absence // builders that have failed; guarded by mu

	probes sync.WaitGroup // the goroutines of probe
	ctx    context.Context
	stop   context.CancelFunc // of ctx, which ends them
}

// An absence is the state of a builder that has failed. It gets no builds until it has
// responded, unless no other builder is left.
type absence struct {
	back  bool          // it has responded
	asked bool          // it is being asked
	until time.Time     // when it is asked, if a build prefers it
	wait  time.Duration // from then until it is asked again
}

// How long a builder that has failed is left alone before it is asked again. The time doubles
// until a build on it succeeds.
const (
	firstAbsence = 2 * time.Second
	lastAbsence  = time.Minute
)

// A taken is a builder that a build has taken.
type taken struct {
	*node
	began time.Time
}

// slack is how much more than the least busy builder a builder may have left to do to be taken
// for a build whose cache it has, in builds. A build from the cache is much shorter than one
// without it, so a difference of one build does not justify building elsewhere.
const slack = 1.25

func newPool(opts Options) *pool {
	p := &pool{opts: opts, patience: patience, known: map[string]*node{}, busy: map[*node][]*taken{}, aside: map[*node]*absence{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	for _, addr := range opts.Addresses {
		if _, ok := farmOf(addr); !ok {
			p.nodes = append(p.nodes, p.node(addr, ""))
		}
	}
	if len(opts.Addresses) == 0 {
		p.nodes = []*node{p.node("", "")}
	}
	return p
}

// node returns the node with an address, a member of the farm at another one, if any. The
// caller holds mu, or is newPool.
func (p *pool) node(addr, farm string) *node {
	n := p.known[addr+" "+farm]
	if n == nil {
		n = &node{pool: p, addr: addr, farm: farm}
		p.known[addr+" "+farm] = n
	}
	return n
}

// size returns the number of nodes.
func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.nodes)
}

// origin identifies what an image is built from, without its content: builds of the same
// origin share most of their cache. It is the same on all machines and in all environments.
func origin(spec plan.BuildSpec, ref string) string {
	// The registry and its prefix distinguish projects, whose contexts may all be ".".
	return path.Dir(ref) + "\x00" + filesOf(spec)
}

// filesOf identifies the repository, the context and the Dockerfile of a build.
func filesOf(spec plan.BuildSpec) string {
	return strings.Join([]string{spec.Source.Git, path.Join(spec.Source.Path, spec.Context), spec.Dockerfile}, "\x00")
}

// take returns a node for a build, which the caller gives back. Of the nodes that are not
// too busy, it is the one that prefers this origin and so has its cache. Nodes that are
// absent or in tried are the last resort.
func (p *pool) take(origin string, tried map[*node]bool) *taken {
	p.mu.Lock()
	defer p.mu.Unlock()
	able, now := p.able(tried), time.Now()
	left := make(map[*node]float64, len(able))
	for _, n := range able {
		left[n] = p.left(n, now)
	}
	least := slices.Min(slices.Collect(maps.Values(left)))
	var best *node
	var bestRank uint64
	for _, n := range able {
		rank := rank(n.addr, origin)
		if left[n] < least+slack && (best == nil || rank > bestRank) {
			best, bestRank = n, rank
		}
	}
	t := &taken{best, now}
	p.busy[best] = append(p.busy[best], t)
	return t
}

// left estimates how much a node has left to do, in builds: of each build the part that is left
// if it takes as long as the last one did. Builds that run concurrently on one node end at about
// the same time, so their number alone does not say when the node will be idle. A build that
// takes much longer counts as a whole: nothing is known of its end. The caller holds mu.
func (p *pool) left(n *node, now time.Time) (builds float64) {
	for _, t := range p.busy[n] {
		switch age := now.Sub(t.began); {
		case p.took == 0, 2*age > 3*p.took:
			builds++
		case age < p.took:
			builds += 1 - float64(age)/float64(p.took)
		}
	}
	return builds
}

// able returns the nodes to choose from. The caller holds mu.
func (p *pool) able(tried map[*node]bool) []*node {
	var able, here, other []*node
	for _, n := range p.nodes {
		switch absent := p.absent(n); {
		case !absent && !tried[n]:
			able = append(able, n)
		case !absent:
			here = append(here, n)
		case !tried[n]:
			other = append(other, n)
		}
	}
	for _, nodes := range [][]*node{able, here, other} {
		if len(nodes) > 0 {
			return nodes
		}
	}
	return p.nodes
}

// absent reports whether n has failed and has not responded since. If it is time, it is asked,
// in the background: no build waits for it. The caller holds mu.
func (p *pool) absent(n *node) bool {
	a := p.aside[n]
	if a == nil || a.back {
		return false
	}
	if !a.asked && time.Now().After(a.until) && p.ctx.Err() == nil {
		a.asked = true
		p.probes.Add(1)
		go p.probe(n)
	}
	return true
}

// probe asks an absent node whether it responds.
func (p *pool) probe(n *node) {
	defer p.probes.Done()
	n.doubt()
	_, err := n.connect(p.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.aside[n]
	if a == nil {
		return // a build on it has succeeded
	}
	a.asked, a.back = false, err == nil
	a.until = time.Now().Add(a.wait)
	a.wait = min(2*a.wait, lastAbsence)
}

// avoid prefers other nodes until n has responded.
func (p *pool) avoid(n *node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.nodes) == 1 {
		return // there is nothing else to prefer, and nothing to ask in the background
	}
	a := p.aside[n]
	if a == nil {
		a = &absence{back: true, wait: firstAbsence}
		p.aside[n] = a
	}
	if a.back { // otherwise several of its builds have failed
		a.back = false
		a.until = time.Now().Add(a.wait)
		a.wait = min(2*a.wait, lastAbsence)
	}
}

// works records that a build on n has succeeded.
func (p *pool) works(n *node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.aside, n)
}

// give gives back what take returned, when the build has succeeded or failed.
func (p *pool) give(t *taken, succeeded bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy[t.node] = slices.DeleteFunc(p.busy[t.node], func(other *taken) bool { return other == t })
	if succeeded {
		p.took = time.Since(t.began)
	}
}

// rank orders addresses differently for each origin (rendezvous hashing): another builder
// changes the first choice only of the builds that it gets.
func rank(addr, origin string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, addr+"\x00"+origin) // never fails
	return h.Sum64()
}

func (p *pool) close() error {
	p.stop()
	p.probes.Wait()
	p.mu.Lock()
	known := slices.Collect(maps.Values(p.known))
	p.mu.Unlock()
	var errs []error
	for _, n := range known {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}
