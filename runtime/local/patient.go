package local

import (
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// A patient transport retries requests while a cluster that has responded before is
// briefly unavailable, for instance during a restart. It is used for the state: writes
// there carry a resource version, so repeating one whose response was lost does no harm.
type patient struct {
	next http.RoundTripper
	*presence
}

// A presence tracks whether a cluster is available.
type presence struct {
	patience time.Duration

	mu       sync.Mutex
	answered bool      // guarded by mu; it has responded before
	away     time.Time // guarded by mu; since when it has not responded; zero: it responds
}

// withPatience returns config for a client that waits up to that long for the cluster to
// come back: all requests together, not each.
func withPatience(config *rest.Config, wait time.Duration) *rest.Config {
	config = rest.CopyConfig(config)
	p := &presence{patience: wait}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return patient{next, p} })
	return config
}

// seen records whether the cluster has responded, and reports whether to wait for it.
func (p *presence) seen(answer bool) (wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case answer:
		p.answered, p.away = true, time.Time{}
	case p.away.IsZero():
		p.away = time.Now()
	}
	return p.answered && time.Since(p.away) < p.patience
}

// RoundTrip implements [http.RoundTripper].
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		answer, err := p.next.RoundTrip(r)
		if r.Context().Err() != nil {
			return answer, err // it says nothing about the cluster
		}
		if wait := p.seen(err == nil); err == nil || !wait || r.Body != nil && r.GetBody == nil {
			return answer, err
		}
		if retry.Pause(r.Context(), retry.Interval) != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		if r.Body != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}
