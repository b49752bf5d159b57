package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/runtime"
)

// A session is what was agreed on with registries: tokens, and the credentials
// that they were got with.
type session struct {
	puller *remote.Puller
	began  time.Time
}

// once leaves repeating to us, who report it.
var once = remote.Backoff{Steps: 1}

// streams bounds how many blobs are read at once, by all copies together.
const streams = 16

func (r *Registry) options() []remote.Option {
	return []remote.Option{
		remote.WithTransport(r.wire), remote.WithAuthFromKeychain(r.keys), remote.WithRetryBackoff(once),
		remote.WithJobs(streams), remote.WithUserAgent("pipe"),
	}
}

// current returns the session, and begins the first one.
func (r *Registry) current() (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == nil {
		puller, err := remote.NewPuller(r.options()...)
		if err != nil {
			return nil, err
		}
		r.session = &session{puller, time.Now()}
	}
	return r.session, nil
}

// renew forgets a session, so that credentials are asked for again: those of
// some registries last for hours only. One that has just begun stays.
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

// head returns the digest at ref.
func (r *Registry) head(ctx context.Context, ref name.Reference, emit runtime.Emit) (v1.Hash, error) {
	var found v1.Hash
	err := r.try(ctx, emit, "look up "+show(ref), func(s *session) error {
		desc, err := s.puller.Head(ctx, ref)
		if err == nil {
			found = desc.Digest
			return nil
		}
		var refused *transport.Error
		if ctx.Err() != nil || errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound || isNetwork(err) {
			return err
		}
		// The answer has no text that would say why, or not what it should
		// have: some registries do better when asked for all of it.
		full, err := s.puller.Get(ctx, ref)
		if err == nil {
			found = full.Digest
		}
		return err
	})
	return found, err
}
