package registry

import (
	"context"
	"errors"
	"sync"

	"github.com/pipelinefile/pipe/runtime"
)

// flights do the same work once for concurrent callers. The work continues while at least one
// caller waits for it, even if the first caller leaves.
type flights struct {
	mu  sync.Mutex
	all map[string]*flight // guarded by mu
}

type flight struct {
	done   chan struct{}
	ref    string // set before done is closed, as are the next two
	copied bool
	err    error
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	waiting map[*runtime.Emit]bool // guarded by mu, also while their events are emitted
}

var errNobodyWaits = errors.New("nobody waits for it any more")

// do returns the result of work. While a caller waits, its emit receives the events of work.
// A caller whose ctx is done leaves. The last one to leave cancels the work and waits for its
// end.
func (f *flights) do(ctx context.Context, key string, emit runtime.Emit,
	work func(context.Context, runtime.Emit) (string, bool, error)) (string, bool, error) {
	if err := ctx.Err(); err != nil {
		return "", false, context.Cause(ctx)
	}
	me := &emit
	f.mu.Lock()
	if f.all == nil {
		f.all = map[string]*flight{}
	}
	c := f.all[key]
	first := c == nil
	if first {
		c = &flight{done: make(chan struct{}), waiting: map[*runtime.Emit]bool{}}
		f.all[key] = c
	}
	c.mu.Lock()
	c.waiting[me] = true
	c.mu.Unlock()
	if first { // after the caller was added, so that it receives the first event, too
		shared, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		c.cancel = cancel
		go func() {
			defer cancel(nil)
			c.ref, c.copied, c.err = work(shared, c.tell)
			f.land(key, c)
			close(c.done)
		}()
	}
	f.mu.Unlock()

	select {
	case <-c.done:
		return c.ref, c.copied, c.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	c.mu.Lock()
	delete(c.waiting, me)
	last := len(c.waiting) == 0
	c.mu.Unlock()
	if last && f.all[key] == c {
		delete(f.all, key) // the next caller starts again
	}
	f.mu.Unlock()
	if last {
		c.cancel(errNobodyWaits)
		<-c.done
	}
	return "", false, context.Cause(ctx)
}

func (f *flights) land(key string, c *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[key] == c {
		delete(f.all, key)
	}
}

func (c *flight) tell(b runtime.Body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for emit := range c.waiting {
		(*emit)(b)
	}
}
