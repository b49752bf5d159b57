// Package flight lets concurrent callers share work.
package flight

import (
	"context"
	"sync"

	"github.com/pipelinefile/pipe/runtime"
)

// A Group shares executions of work by key. The work continues while at least one caller
// waits for it, even if the caller that started it leaves. The zero Group is ready to use.
type Group[T any] struct {
	// Fresh means that no call returns a result that is older than the call: a caller that
	// arrives during an execution waits for the next one, which all callers that arrive
	// until it starts share. Otherwise the caller shares the current execution.
	Fresh bool

	mu   sync.Mutex
	keys map[string]*turns[T]
}

// turns are the current execution for a key, and the next one.
type turns[T any] struct{ now, next *turn[T] }

// A turn is one execution of the work.
type turn[T any] struct {
	work    func(context.Context, runtime.Emit) (T, error)
	ctx     context.Context // done when no caller waits any more
	cancel  context.CancelCauseFunc
	waiting int // guarded by Group.mu

	telling sync.Mutex
	emits   map[*runtime.Emit]bool // of the waiting callers; guarded by telling, also while events are emitted

	done  chan struct{}
	value T     // set before done is closed
	err   error // set before done is closed
}

// Do returns the result of work. While a caller waits, its emit, unless it is nil, receives
// the events of the work. When ctx is done, Do returns its cause; the last caller to leave cancels the work
// and waits until it has ended.
func (g *Group[T]) Do(ctx context.Context, key string, emit runtime.Emit, work func(context.Context, runtime.Emit) (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	t := g.join(ctx, key, &emit, work)
	select {
	case <-t.done:
		return t.value, t.err
	case <-ctx.Done():
		g.leave(key, t, &emit, context.Cause(ctx))
		return none, context.Cause(ctx)
	}
}

// Waiting returns the number of callers that wait.
func (g *Group[T]) Waiting() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, both := range g.keys {
		for _, t := range []*turn[T]{both.now, both.next} {
			if t != nil {
				n += t.waiting
			}
		}
	}
	return n
}

func (g *Group[T]) join(ctx context.Context, key string, emit *runtime.Emit, work func(context.Context, runtime.Emit) (T, error)) *turn[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys == nil {
		g.keys = map[string]*turns[T]{}
	}
	both := g.keys[key]
	if both == nil {
		both = &turns[T]{}
		g.keys[key] = both
	}
	t := both.next
	if both.now != nil && !g.Fresh && both.now.waiting > 0 { // otherwise it is cancelled
		t = both.now
	}
	if t != nil {
		t.add(emit)
		return t
	}
	t = &turn[T]{work: work, emits: map[*runtime.Emit]bool{}, done: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	t.add(emit) // before the work starts, so that emit receives its first event
	if both.now == nil {
		both.now = t
		go g.run(key, t)
	} else {
		both.next = t
	}
	return t
}

func (g *Group[T]) run(key string, t *turn[T]) {
	t.value, t.err = t.work(t.ctx, t.tell)
	t.cancel(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	both := g.keys[key]
	both.now, both.next = both.next, nil
	if both.now == nil {
		delete(g.keys, key)
	} else {
		go g.run(key, both.now)
	}
	close(t.done)
}

// leave removes a caller from t.
func (g *Group[T]) leave(key string, t *turn[T], emit *runtime.Emit, cause error) {
	t.telling.Lock()
	delete(t.emits, emit)
	t.telling.Unlock()
	g.mu.Lock()
	t.waiting--
	last := t.waiting == 0
	both := g.keys[key]
	if last && both != nil && both.next == t {
		both.next, last = nil, false // it has not started
		t.cancel(cause)
	}
	g.mu.Unlock()
	if last {
		t.cancel(cause)
		<-t.done
	}
}

// add adds a caller.
func (t *turn[T]) add(emit *runtime.Emit) {
	t.waiting++
	t.telling.Lock()
	defer t.telling.Unlock()
	t.emits[emit] = true
}

// tell passes an event to the waiting callers.
func (t *turn[T]) tell(b runtime.Body) {
	t.telling.Lock()
	defer t.telling.Unlock()
	for emit := range t.emits {
		if *emit != nil {
			(*emit)(b)
		}
	}
}
