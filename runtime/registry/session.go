package registry

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/runtime"
)

// A session contains what was negotiated with registries: tokens, and the credentials that
// were used to get them.
type session struct {
	puller *remote.Puller
	began  time.Time

	mu      sync.Mutex
	readers map[name.Repository]*reader // guarded by mu
}

// A reader makes requests to one repository that the library does not support.
type reader struct {
	mu     sync.Mutex   // held while negotiating credentials, so that this is done once
	client *http.Client // guarded by mu
}

// once disables the retries of the library, because try retries and reports them.
var once = remote.Backoff{Steps: 1}

// streams limits the number of blobs that are read concurrently by all copies.
const streams = 16

// userAgent identifies this client to registries.
const userAgent = "pipe"

func (r *Registry) options() []remote.Option {
	return []remote.Option{
		remote.WithTransport(r.wire), remote.WithAuthFromKeychain(r.keys), remote.WithRetryBackoff(once),
		remote.WithJobs(streams), remote.WithUserAgent(userAgent),
	}
}

// current returns the session, and creates it if there is none.
func (r *Registry) current() (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == nil {
		puller, err := remote.NewPuller(r.options()...)
		if err != nil {
			return nil, err
		}
		r.session = &session{puller: puller, began: time.Now(), readers: map[name.Repository]*reader{}}
	}
	return r.session, nil
}

// renew discards a session, so that credentials are looked up again, because those of some
// registries last only for hours. A session that has just begun is kept.
func (r *Registry) renew(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == s {
		if time.Since(s.began) < 10*time.Second {
			return false
		}
		r.session = nil
		r.keys.forget()
		r.wire.forget()
	}
	return true
}

// client returns an HTTP client for reading from a repository, with its credentials.
func (r *Registry) client(ctx context.Context, s *session, repo name.Repository) (*http.Client, error) {
	s.mu.Lock()
	one := s.readers[repo]
	if one == nil {
		one = &reader{}
		s.readers[repo] = one
	}
	s.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.client != nil {
		return one.client, nil
	}
	auth, err := r.keys.ResolveContext(ctx, repo)
	if err != nil {
		return nil, err
	}
	through, err := transport.NewWithContext(ctx, repo.Registry, auth, transport.NewUserAgent(r.wire, userAgent), []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	one.client = &http.Client{Transport: through}
	return one.client, nil
}

// head returns the digest at ref.
func (r *Registry) head(ctx context.Context, ref name.Reference, emit runtime.Emit) (v1.Hash, error) {
	var found v1.Hash
	err := r.try(ctx, emit, "look up "+show(ref), func(ctx context.Context, s *session) error {
		desc, err := s.puller.Head(ctx, ref)
		if err == nil {
			found = desc.Digest
			return nil
		}
		var refused *transport.Error
		if ctx.Err() != nil || errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound || isNetwork(err) {
			return err
		}
		// The answer to HEAD has no body with a reason, or lacks a header: some registries
		// answer correctly only to GET.
		full, err := s.puller.Get(ctx, ref)
		if err == nil {
			found = full.Digest
		}
		return err
	})
	return found, err
}
