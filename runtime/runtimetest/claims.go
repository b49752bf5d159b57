package runtimetest

import (
	"context"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

// claimTime is how long the claim of a process that died is held.
const claimTime = 10 * time.Second

// claims are the claims of builds in a registry.
type claims struct {
	mu   sync.Mutex
	held map[string]*claim // by reference
}

type claim struct {
	all     *claims
	ref, by string
	until   time.Time // guarded by all.mu; zero: as long as its process lives
	lost    chan struct{}
}

// Claim implements [runtime.Registry].
func (r *Registry) Claim(ctx context.Context, ref, by string, _ bool) (runtime.Claim, error) {
	if err := r.world.step(ctx, "Registry.Claim", ref); err != nil {
		return nil, err
	}
	r.claims.mu.Lock()
	defer r.claims.mu.Unlock()
	if other := r.claims.held[ref]; other != nil && (other.until.IsZero() || time.Now().Before(other.until)) {
		return nil, &runtime.ClaimedError{Ref: ref, By: other.by}
	}
	c := &claim{all: &r.claims, ref: ref, by: by, lost: make(chan struct{})}
	r.claims.held[ref] = c
	return c, nil
}

// Steal gives the claim of ref to another process, as registries do that cannot compare and
// set.
func (r *Registry) Steal(ref, by string) {
	r.claims.mu.Lock()
	defer r.claims.mu.Unlock()
	if c := r.claims.held[ref]; c != nil {
		close(c.lost)
	}
	r.claims.held[ref] = &claim{all: &r.claims, ref: ref, by: by, until: time.Now().Add(claimTime), lost: make(chan struct{})}
}

// kill ends the process that holds the claims, which expire then.
func (c *claims) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.held {
		if one.until.IsZero() {
			one.until = time.Now().Add(claimTime)
		}
	}
}

// Lost implements [runtime.Claim].
func (c *claim) Lost() <-chan struct{} { return c.lost }

// Release implements [runtime.Claim].
func (c *claim) Release(context.Context) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.all.held[c.ref] == c && c.until.IsZero() { // a dead process releases nothing
		delete(c.all.held, c.ref)
	}
}
