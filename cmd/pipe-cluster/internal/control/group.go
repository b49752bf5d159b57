package control

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// group is a set of components that are stopped together.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	failed chan<- error
	wg     sync.WaitGroup
}

func newGroup(ctx context.Context, failed chan<- error) *group {
	g := &group{failed: failed}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// run starts a component. If the component returns before the group is stopped, that is a failure.
func (g *group) run(name string, f func(context.Context) error) {
	g.wg.Go(func() {
		err := f(g.ctx)
		if g.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = fmt.Errorf("ended by itself")
		}
		select {
		case g.failed <- fmt.Errorf("%s: %w", name, err):
		default: // another failure was reported already
		}
	})
}

// stop stops the components. It waits for them up to the limit, as the process ends soon anyway.
func (g *group) stop(limit time.Duration) {
	g.cancel()
	done := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}
