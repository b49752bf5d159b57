package local

import (
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// patience is how long a cluster that has answered before may be away until
	// what is asked of it fails. A run loses its lease about then.
	patience = 10 * time.Second
	// againEvery is how often it is tried meanwhile.
	againEvery = 250 * time.Millisecond
)

// A patient way to a cluster waits for one that has answered before and is away
// for a moment, as with a restart, and then asks again. It is for the state: what
// is written there is written under a version, so that it does no harm if it was
// done already and only the answer was lost.
type patient struct {
	next http.RoundTripper
	*presence
}

// A presence is what is known of whether a cluster is there.
type presence struct {
	patience time.Duration

	mu       sync.Mutex
	answered bool      // guarded by mu; it has answered before
	away     time.Time // guarded by mu; since when it does not; zero: it does
}

// withPatience returns config for a client that waits so long for the cluster to
// come back: all requests together, not each.
func withPatience(config *rest.Config, wait time.Duration) *rest.Config {
	config = rest.CopyConfig(config)
	p := &presence{patience: wait}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return patient{next, p} })
	return config
}

// seen notes whether the cluster has answered, and reports whether to wait for it.
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
			return answer, err // it tells nothing of the cluster
		}
		if wait := p.seen(err == nil); err == nil || !wait || r.Body != nil && r.GetBody == nil {
			return answer, err
		}
		select {
		case <-time.After(againEvery):
		case <-r.Context().Done():
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
