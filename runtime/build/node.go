package build

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/flight"
)

// An UnreachableError means that a builder does not respond.
type UnreachableError struct {
	Addr string // empty: the embedded one
	Lost bool   // it had begun a build
	Err  error
}

func (e *UnreachableError) Error() string {
	if e.Addr == "" {
		return fmt.Sprintf("start the embedded BuildKit: %v", e.Err)
	}
	if _, known := runtime.AdviceOf(e.Err); known && !e.Lost {
		return fmt.Sprintf("BuildKit at %s: %v", e.Addr, e.Err)
	}
	if e.Lost {
		return fmt.Sprintf("BuildKit at %s was lost during the build: %v: check that it is running", redact.URLs(e.Addr), e.Err)
	}
	next := "check that it is running, and its address"
	if e := engineOf(e.Addr); e != nil {
		next = "check that the Docker engine is running, and the name of the context"
	}
	if _, err := url.Parse(e.Addr); err == nil && !strings.Contains(e.Addr, "://") {
		next = "an address is such as " + examples()
	}
	return fmt.Sprintf("BuildKit at %s cannot be reached: %v: %s", redact.URLs(e.Addr), e.Err, next)
}

// Advice returns what to do about the builder. For the embedded builder, the caller that
// starts it knows that.
func (e *UnreachableError) Advice() runtime.Advice {
	if known, ok := runtime.AdviceOf(e.Err); ok {
		return known
	}
	if e.Addr == "" {
		return runtime.Advice{Do: "install what is missing, or use another builder", Options: []string{"BuildKit"}}
	}
	if e := engineOf(e.Addr); e != nil {
		return runtime.Advice{
			Do:      fmt.Sprintf("run 'docker %sinfo', which asks the engine, and 'docker context ls', which lists the contexts, or use another builder", e.flag()),
			Options: []string{"BuildKit"},
		}
	}
	return runtime.Advice{Do: "start it, or use another builder", Options: []string{"BuildKit"}}
}

// Unwrap returns the cause, and a [runtime.CommonError] for all images of the builder.
func (e *UnreachableError) Unwrap() []error {
	return []error{&runtime.CommonError{Text: e.Error()}, e.Err}
}

// A node is one builder.
type node struct {
	pool *pool
	addr string // empty: the embedded one
	farm string // the address of the farm that it is a member of, or empty

	connecting flight.Group[*connection] // so that callers share a connection, or its failure

	mu      sync.Mutex
	client  *connection // guarded by mu
	at      string      // address of client; guarded by mu
	version string      // of BuildKit, as it says; guarded by mu
	doubted bool        // client may have lost its builder; guarded by mu
	grouped bool        // client's builder limits the commands of a build together; guarded by mu
	member  Member      // of a farm; guarded by mu

	contexts contexts
}

// connectTimeout is how long a builder may take to respond the first time.
const connectTimeout = 30 * time.Second

// connect returns a client of a builder that has responded. Its error is an
// *UnreachableError.
func (n *node) connect(ctx context.Context) (*connection, error) {
	n.mu.Lock()
	c, doubted := n.client, n.doubted
	n.mu.Unlock()
	if c != nil && !doubted {
		return c, nil
	}
	return n.connecting.Do(ctx, "", nil, func(ctx context.Context, _ runtime.Emit) (*connection, error) { return n.reach(ctx) })
}

// reach connects, or checks that the builder of the connection still responds.
func (n *node) reach(ctx context.Context) (*connection, error) {
	addr := n.addr
	if addr == "" {
		if n.pool.opts.Start == nil {
			return nil, &UnreachableError{Err: errors.New("there is none here: give the address of one")}
		}
		var err error
		if addr, err = n.pool.opts.Start(ctx); err != nil {
			return nil, &UnreachableError{Err: err}
		}
	}
	n.mu.Lock()
	before, at := n.client, n.at
	n.mu.Unlock()
	// A client that is in use is kept: it reconnects to the same address.
	c := before
	var err error
	var version string
	if c == nil || addr != at {
		if err = hasProgram(addr); err == nil {
			c, err = n.dial(ctx, addr)
		}
	}
	if err == nil {
		version, err = answer(ctx, c, c == before)
	}
	if e := engineOf(addr); err == nil && e != nil {
		err = e.check(ctx, c)
	}
	grouped := err == nil && strings.HasPrefix(addr, "unix://") && groups(ctx, c)
	if err != nil {
		if c != nil && c != before {
			_ = c.Close() // it cannot be used
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &UnreachableError{Addr: addr, Err: plain(err)}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.client, n.at, n.version, n.grouped, n.doubted = c, addr, version, grouped, false
	return c, nil
}

// The minor versions of BuildKit in which features began.
const (
	minorProvenance = 11 // attach the provenance of an image to it
	// minorSources: ask for each source of a build whether it may be used, and take another one
	// as the answer. 0.26 asks, but fails for that answer.
	minorSources = 27
	// minorResources: limit the resources of a command as LLB says. It is the oldest version that
	// is known to do so.
	minorResources = 33
)

// reports reports whether the builder asks for each source of a build whether it may be used,
// and takes another one as the answer. A Docker engine does not say which version of BuildKit
// it has, and old ones fail for that answer.
func (n *node) reports() bool { return engineOf(n.addr) == nil && n.has(minorSources) }

// has reports whether the builder has at least a minor version of BuildKit.
func (n *node) has(minor int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return hasMinor(n.version, minor)
}

// hasMinor is has for a version of BuildKit. One that was built from its sources, such as the
// embedded one, says v0.0.0+unknown.
func hasMinor(version string, minor int) bool {
	is := 0
	// Another form of version is not one of the old releases.
	_, _ = fmt.Sscanf(strings.TrimPrefix(version, "v"), "0.%d.", &is)
	return is == 0 || is >= minor
}

// drop closes a client that may never notice that its connection is dead.
func (n *node) drop(c *connection) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.client == c {
		_ = c.Close() // it cannot be used
		n.client = nil
	}
}

// doubt makes the next build check whether the builder still responds.
func (n *node) doubt() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doubted = true
}

func (n *node) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.client == nil {
		return nil
	}
	err := n.client.Close()
	n.client = nil
	return err
}
