package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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
	clients map[string]*client // by repository and scopes; guarded by mu
	heads   map[string]bool    // by host; guarded by mu; see answersHead
}

// A client makes requests to one repository that the library does not support.
type client struct {
	mu   sync.Mutex   // held while negotiating credentials, so that this is done once
	http *http.Client // guarded by mu
}

// once disables the retries of the library, because try retries and reports them.
var once = remote.Backoff{Steps: 1}

// streams limits the number of blobs that are transferred concurrently by all copies.
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
		r.session = &session{puller: puller, began: time.Now(), clients: map[string]*client{}, heads: map[string]bool{}}
		for host := range r.wire.writes { // the embedded registry
			r.session.heads[host] = true
		}
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

// client returns an HTTP client for a repository, with its credentials for these scopes.
func (r *Registry) client(ctx context.Context, s *session, repo name.Repository, scopes ...string) (*http.Client, error) {
	key := repo.Name() + " " + strings.Join(scopes, " ")
	s.mu.Lock()
	one := s.clients[key]
	if one == nil {
		one = &client{}
		s.clients[key] = one
	}
	s.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.http != nil {
		return one.http, nil
	}
	auth, err := r.keys.ResolveContext(ctx, repo)
	if err != nil {
		return nil, err
	}
	through, err := transport.NewWithContext(ctx, repo.Registry, auth, transport.NewUserAgent(r.wire, userAgent), scopes)
	if err != nil {
		return nil, err
	}
	one.http = &http.Client{Transport: through, CheckRedirect: redirects}
	return one.http, nil
}

// maxRedirects is how many redirects of a registry are followed.
const maxRedirects = 10

// redirects decides whether a redirect of a registry is followed.
func redirects(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return elsewhere(via[0].URL, r.URL)
}

// elsewhere returns an error if a registry names another host by an address in a private
// network, so that none can make this machine send requests to its neighbours.
func elsewhere(from, to *url.URL) error {
	host := to.Hostname()
	if host == from.Hostname() {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap()
	private := err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
	// Some systems read 0x7f.1 and 2130706433 as addresses.
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, odd := strconv.ParseUint(last, 0, 64); private || err != nil && odd == nil {
		return fmt.Errorf("it redirects to %s, which is in a private network", host)
	}
	return nil
}

// answersHead reports whether the registry of ref has found something in answer to a HEAD
// request, or notes that it has. Until then, that it does not find an image may mean that it
// answers only to GET.
func (s *session) answersHead(ref name.Reference, does bool) bool {
	host := ref.Context().RegistryStr()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads[host] = s.heads[host] || does
	return s.heads[host]
}

// head returns the digest at ref.
func (r *Registry) head(ctx context.Context, ref name.Reference, emit runtime.Emit) (v1.Hash, error) {
	var found v1.Hash
	err := r.try(ctx, emit, "look up "+show(ref), func(ctx context.Context, s *session) error {
		desc, err := s.puller.Head(ctx, ref)
		if err == nil {
			found = desc.Digest
			s.answersHead(ref, true)
			return nil
		}
		var refused *transport.Error
		if ctx.Err() != nil || errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound && s.answersHead(ref, false) || isNetwork(err) {
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
