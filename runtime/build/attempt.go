package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
)

// An attempt is what a builder does once, over one connection.
type attempt struct {
	*connection
	node   *node
	before int64 // how often the connection had been made when it began
	end    func()
}

// begin connects to the builder for something that it does. The context that it returns is cancelled
// with an *UnreachableError if the builder becomes silent. The caller must call end of the attempt.
func (n *node) begin(ctx context.Context) (context.Context, *attempt, error) {
	c, err := n.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	before := c.begun.Load()
	ctx, end := n.watch(ctx, c)
	return ctx, &attempt{c, n, before, end}, nil
}

// follow calls do, whose status it reports to p. The error is that of do, or an *UnreachableError
// if the builder was lost.
func (a *attempt) follow(ctx context.Context, p *progress, do func(context.Context, chan *client.SolveStatus) error) error {
	status := make(chan *client.SolveStatus)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		p.follow(status)
	}()
	err := do(quiet(ctx), status)
	<-reported
	if err != nil && ctx.Err() == nil && a.lost(ctx, err) {
		return &UnreachableError{Addr: a.node.addr, Lost: true, Err: plain(err)}
	}
	return err
}

// send has the builder solve def, or what a frontend makes of opt, and reports it to p. The error is
// that of the builder, or an *UnreachableError.
func (a *attempt) send(ctx context.Context, def *llb.Definition, opt client.SolveOpt, p *progress) (resp *client.SolveResponse, err error) {
	err = a.follow(ctx, p, func(ctx context.Context, status chan *client.SolveStatus) (err error) {
		resp, err = a.Solve(ctx, def, opt, status)
		return err
	})
	return resp, err
}

// lost reports whether err means that the builder is gone. The embedded builder is started again
// instead.
func (a *attempt) lost(ctx context.Context, err error) bool {
	if a.node.addr == "" || !refused(err) {
		return false
	}
	// The error could also be that of a registry, as the builder reports it: then the same
	// connection still answers. Over a new one, that may be the successor of the builder.
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, e := a.Info(quiet(ctx))
	return e != nil || a.begun.Load() != a.before
}

// patience is how long a builder may be silent during a build before it counts as lost. One
// whose machine is gone is silent without an error.
const patience = time.Minute

// watch returns a context for a build, which is cancelled with an *UnreachableError if the
// builder becomes silent, and a function that ends the watch.
func (n *node) watch(ctx context.Context, c *connection) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	patience := n.pool.patience
	silent := fmt.Errorf("no answer within %v", patience)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(patience / 4):
			}
			asked, done := context.WithTimeoutCause(ctx, patience, silent)
			_, err := c.Info(quiet(asked))
			late := err != nil && errors.Is(context.Cause(asked), silent)
			done()
			if late {
				n.drop(c)
				cancel(&UnreachableError{Addr: n.addr, Lost: true, Err: silent})
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
