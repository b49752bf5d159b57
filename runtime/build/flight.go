package build

import (
	"context"
	"sync"
)

// A flight lets concurrent callers share work, without returning a result that is
// older than the call: a caller that arrives while the work is being
// done waits for the next execution, and all waiting callers share that.
type flight[T any] struct {
	mu   sync.Mutex
	keys map[string]*turns[T]
}

// turns are the current execution for a key, and the next one.
type turns[T any] struct{ now, next *turn[T] }

// A turn is one execution of the work.
type turn[T any] struct {
	fn      func(context.Context) (T, error)
	ctx     context.Context // done when no caller waits any more
	cancel  context.CancelCauseFunc
	waiting int // guarded by flight.mu

	done  chan struct{}
	value T     // set before done is closed
	err   error // set before done is closed
}

// do returns the result of fn. When ctx is done, it returns the cause; fn is cancelled
// when all its callers have been cancelled.
func (f *flight[T]) do(ctx context.Context, key string, fn func(context.Context) (T, error)) (T, error) {
	t := f.join(ctx, key, fn)
	select {
	case <-t.done:
		return t.value, t.err
	case <-ctx.Done():
		f.leave(key, t, context.Cause(ctx))
		var none T
		return none, context.Cause(ctx)
	}
}

func (f *flight[T]) join(ctx context.Context, key string, fn func(context.Context) (T, error)) *turn[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys == nil {
		f.keys = map[string]*turns[T]{}
	}
	both := f.keys[key]
	if both == nil {
		both = &turns[T]{}
		f.keys[key] = both
	}
	t := both.next
	if t == nil {
		t = &turn[T]{fn: fn, done: make(chan struct{})}
		t.ctx, t.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		if both.now == nil {
			both.now = t
			go f.run(key, t)
		} else {
			both.next = t
		}
	}
	t.waiting++
	return t
}

func (f *flight[T]) run(key string, t *turn[T]) {
	t.value, t.err = t.fn(t.ctx)
	t.cancel(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	both := f.keys[key]
	both.now, both.next = both.next, nil
	if both.now == nil {
		delete(f.keys, key)
	} else {
		go f.run(key, both.now)
	}
	close(t.done)
}

// leave removes a caller from t. The last caller cancels the work and waits for its end.
func (f *flight[T]) leave(key string, t *turn[T], cause error) {
	f.mu.Lock()
	t.waiting--
	last := t.waiting == 0
	both := f.keys[key]
	if last && both != nil && both.next == t {
		both.next, last = nil, false // it has not started
		t.cancel(cause)
	}
	f.mu.Unlock()
	if last {
		t.cancel(cause)
		<-t.done
	}
}
