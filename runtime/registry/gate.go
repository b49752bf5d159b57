package registry

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/internal/stall"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// maxWait is the longest time that a registry is waited for after too many requests, if
// the context has no deadline.
const maxWait = 10 * time.Minute

// A gate holds back the requests to a host that has answered that it had too many, until the
// time that its answer names. Then one request is sent, and the others follow when it has been
// accepted.
type gate struct {
	turn chan struct{} // held by the one request

	mu    sync.Mutex
	until time.Time // guarded by mu; zero: all requests are sent
}

// A limitedError says that a registry accepts no requests for longer than may be waited.
type limitedError struct {
	host  string
	until time.Time
}

func (e *limitedError) Error() string {
	return fmt.Sprintf("registry %s received too many requests and accepts none for %s", shownHost(e.host), e.in())
}

// in is how long the registry accepts no requests.
func (e *limitedError) in() time.Duration {
	return max(time.Until(e.until), time.Second).Round(time.Second)
}

// waitingKey is the key of a func(host string, wait time.Duration) in a context. It is called
// when a request has to wait.
type waitingKey struct{}

func (g *gate) time() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until
}

// enter waits until a request to host may be sent. leave must be called with its answer, or
// with nil if there is none.
func (g *gate) enter(ctx context.Context, host string) (leave func(*http.Response), err error) {
	for said := (time.Time{}); ; {
		until := g.time()
		if until.IsZero() {
			return func(answer *http.Response) { g.note(answer) }, nil
		}
		last, ok := ctx.Deadline()
		if !ok {
			last = time.Now().Add(maxWait)
		}
		if until.After(last) {
			return nil, &limitedError{host, until}
		}
		wait := time.Until(until)
		if say, ok := ctx.Value(waitingKey{}).(func(string, time.Duration)); ok && wait > 0 && !said.Equal(until) {
			said = until
			say(host, wait)
		}
		if err := retry.Pause(ctx, wait); err != nil {
			return nil, err
		}
		select {
		case g.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if g.time().Equal(until) {
			return func(answer *http.Response) {
				if !g.note(answer) {
					g.mu.Lock()
					g.until = time.Time{}
					g.mu.Unlock()
				}
				<-g.turn
			}, nil
		}
		<-g.turn // it received too many requests again, or accepts them now
	}
}

// note closes the gate if an answer says so, and reports whether it does.
func (g *gate) note(answer *http.Response) bool {
	wait, ok := stall.RetryAfter(answer)
	if !ok {
		return false
	}
	until := time.Now().Add(wait)
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.After(g.until) {
		g.until = until
	}
	return true
}
