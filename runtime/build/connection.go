package build

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"

	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// A connection is a client of a builder. It connects again when it was disconnected, perhaps to
// another builder that has the address now.
type connection struct {
	*client.Client
	begun atomic.Int64 // how often it has connected
}

// connectTo returns a client of the builder at addr.
func connectTo(ctx context.Context, addr string, opts ...client.ClientOpt) (*connection, error) {
	c := &connection{}
	var err error
	c.Client, err = client.New(quiet(ctx), addr, append(opts, client.WithGRPCDialOption(grpc.WithStatsHandler(counter{&c.begun})))...)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// A counter counts how often a client connects.
type counter struct{ begun *atomic.Int64 }

func (c counter) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnBegin); ok {
		c.begun.Add(1)
	}
}

func (counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (counter) HandleRPC(context.Context, stats.RPCStats)                         {}

// dial returns a client of the builder at addr. It connects when it is used.
func (n *node) dial(ctx context.Context, addr string) (*connection, error) {
	if n.farm != "" {
		return connectTo(ctx, "", n.options()...)
	}
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
	if e := engineOf(addr); e != nil {
		return connectTo(ctx, "", e.options()...)
	}
	return connectTo(ctx, addr, opts...)
}

// sessions returns what connects sessions to the builder of c.
func (n *node) sessions(c *connection) session.Dialer {
	if e := engineOf(n.addr); e != nil {
		return e.session
	}
	return c.Dialer()
}

// answer returns the version of the builder when it has responded. A client that has lost its
// connection retries after a second.
func answer(ctx context.Context, c *connection, before bool) (version string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
	defer cancel()
	for again := 0; ; again++ {
		info, err := c.Info(quiet(ctx))
		if err == nil {
			return info.BuildkitVersion.Version, nil
		}
		if !before || again > 0 || grpcerrors.Code(err) != codes.Unavailable {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return "", err
		}
		if err := retry.Pause(ctx, 1200*time.Millisecond); err != nil { // a little more than gRPC waits
			return "", err
		}
	}
}

// quiet prevents BuildKit's library from printing to the terminal.
func quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return bklog.WithLogger(ctx, logrus.NewEntry(l))
}
