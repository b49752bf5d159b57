package build

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer" // makes docker-container:// known
	_ "github.com/moby/buildkit/client/connhelper/kubepod"         // makes kube-pod:// known
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/runtime"
)

// An UnreachableError means that a builder does not respond.
type UnreachableError struct {
	Addr string // empty: the embedded one
	Err  error
}

func (e *UnreachableError) Error() string {
	if e.Addr == "" {
		return fmt.Sprintf("start the embedded BuildKit: %v", e.Err)
	}
	next := "check that it is running, and its address"
	if _, err := url.Parse(e.Addr); err == nil && !strings.Contains(e.Addr, "://") {
		next = "an address is such as unix:///run/buildkit/buildkitd.sock, tcp://host:1234, docker-container://name, kube-pod://name"
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
	return runtime.Advice{Do: "start it, or use another builder", Options: []string{"BuildKit"}}
}

// Unwrap returns the cause, and a [runtime.CommonError] for all images of the builder.
func (e *UnreachableError) Unwrap() []error {
	return []error{&runtime.CommonError{Text: e.Error()}, e.Err}
}

// A pool distributes builds across builders.
type pool struct {
	opts  Options
	nodes []*node

	mu   sync.Mutex
	busy map[*node]int // builds; guarded by mu
}

func newPool(opts Options) *pool {
	p := &pool{opts: opts, busy: map[*node]int{}}
	for _, addr := range opts.Addresses {
		p.nodes = append(p.nodes, &node{pool: p, addr: addr})
	}
	if len(p.nodes) == 0 {
		p.nodes = []*node{{pool: p}}
	}
	return p
}

// take returns the node with the fewest builds that is not in tried; among
// equals, the one that built this image before and has its cache.
func (p *pool) take(image string, tried map[*node]bool) *node {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *node
	var bestRank uint64
	for _, n := range p.nodes {
		rank := rank(n.addr, image)
		if tried[n] && len(tried) < len(p.nodes) {
			continue
		}
		if best == nil || p.busy[n] < p.busy[best] || p.busy[n] == p.busy[best] && rank > bestRank {
			best, bestRank = n, rank
		}
	}
	p.busy[best]++
	return best
}

func (p *pool) give(n *node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy[n]--
}

// rank orders addresses differently for each image.
func rank(addr, image string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, addr+"\x00"+image) // never fails
	return h.Sum64()
}

func (p *pool) close() error {
	var errs []error
	for _, n := range p.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// A node is one builder.
type node struct {
	pool *pool
	addr string // empty: the embedded one

	mu      sync.Mutex     // held while connecting, so that callers share a connection
	client  *client.Client // guarded by mu
	at      string         // address of client; guarded by mu
	doubted bool           // client may have lost its builder; guarded by mu

	contexts contexts
}

// connectTimeout is how long a builder may take to respond the first time.
const connectTimeout = 30 * time.Second

// connect returns a client of a builder that has responded. Its error is an
// *UnreachableError.
func (n *node) connect(ctx context.Context) (*client.Client, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.client != nil && !n.doubted {
		return n.client, nil
	}
	addr := n.addr
	if addr == "" {
		if n.pool.opts.Start == nil {
			return nil, &UnreachableError{"", errors.New("there is none here: give the address of one")}
		}
		var err error
		if addr, err = n.pool.opts.Start(ctx); err != nil {
			return nil, &UnreachableError{"", err}
		}
	}
	// A client that is in use is kept: it reconnects to the same address.
	c := n.client
	var err error
	if c == nil || addr != n.at {
		c, err = n.dial(ctx, addr)
	}
	if err == nil {
		err = answer(ctx, c, c == n.client)
	}
	if err != nil {
		if c != nil && c != n.client {
			_ = c.Close() // it cannot be used
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &UnreachableError{addr, plain(err)}
	}
	n.client, n.at, n.doubted = c, addr, false
	return c, nil
}

// doubt makes the next build check whether the builder still responds.
func (n *node) doubt() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doubted = true
}

// lost reports whether err means that the embedded builder is gone: it is then
// started again.
func (n *node) lost(err error) bool {
	return n.addr == "" && n.pool.opts.Start != nil && grpcerrors.Code(err) == codes.Unavailable
}

// answer returns when the builder has responded. A client that has lost its connection
// retries after a second.
func answer(ctx context.Context, c *client.Client, before bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
	defer cancel()
	for again := 0; ; again++ {
		_, err := c.Info(quiet(ctx))
		if err == nil || !before || again > 0 || grpcerrors.Code(err) != codes.Unavailable {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(1200 * time.Millisecond): // a little more than gRPC waits
		}
	}
}

func (n *node) dial(ctx context.Context, addr string) (*client.Client, error) {
	if err := CheckAddress(addr); err != nil {
		return nil, err
	}
	var opts []client.ClientOpt
	if tls := n.pool.opts.TLS; tls != (TLS{}) && strings.HasPrefix(addr, "tcp://") {
		if tls.CA != "" {
			opts = append(opts, client.WithServerConfig(tls.ServerName, tls.CA))
		} else {
			opts = append(opts, client.WithServerConfigSystem(tls.ServerName))
		}
		if tls.Cert != "" || tls.Key != "" {
			opts = append(opts, client.WithCredentials(tls.Cert, tls.Key))
		}
	}
	return client.New(quiet(ctx), addr, opts...)
}

// CheckAddress returns an error if an address of a builder is invalid.
func CheckAddress(addr string) error {
	scheme, rest, ok := strings.Cut(addr, "://")
	held := redact.Credentials(addr)
	switch {
	case held != "":
		return fmt.Errorf("the address has %s in it: builders know who may build by certificates", held)
	case !ok || rest == "":
		return errors.New("that is not an address")
	case scheme == "docker", strings.HasSuffix(rest, "docker.sock"):
		return errors.New("that is Docker, whose own builder cannot push what it builds: run BuildKit in it with " +
			"'docker run -d --name buildkitd --privileged moby/buildkit' and use docker-container://buildkitd")
	}
	for _, s := range []string{"unix", "tcp", "npipe", "docker-container", "kube-pod"} {
		if scheme == s {
			return nil
		}
	}
	return fmt.Errorf("%s:// is not known: use unix://, tcp://, docker-container:// or kube-pod://", scheme)
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

// quiet prevents BuildKit's library from printing to the terminal.
func quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return bklog.WithLogger(ctx, logrus.NewEntry(l))
}
