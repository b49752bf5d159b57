package registry

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/internal/mirrors"
	"github.com/pipelinefile/pipe/internal/stall"
)

// A wire sends requests to registries. It makes sure that TLS is omitted only for hosts that
// are configured for plain HTTP, and caches the answer of each registry to /v2/, which the
// library requests for each repository. After too many requests to a registry it waits, once
// for all that use it.
type wire struct {
	inner     http.RoundTripper
	plainHTTP []string
	writes    map[string]func() (user, password string, err error) // credentials for writes, by host

	patience, writePatience time.Duration

	mu      sync.Mutex
	answers map[string]*http.Response // to /v2/, by URL, without bodies; guarded by mu
	gates   map[string]*gate          // by host; guarded by mu
}

func newWire(plainHTTP []string) *wire {
	inner := remote.DefaultTransport
	if t, ok := inner.(*http.Transport); ok {
		inner = t.Clone() // so that the connections are not shared
	}
	return &wire{
		inner: inner, plainHTTP: plainHTTP, patience: stall.Read, writePatience: stall.Write,
		answers: map[string]*http.Response{}, gates: map[string]*gate{},
	}
}

var errNeedTLS = errors.New("not talked to without TLS")

// plain reports whether a host, with its port if any, is accessed without TLS.
func (w *wire) plain(host string) bool {
	return slices.Contains(w.plainHTTP, host) || mirrors.IsLoopback(host)
}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	switch plain := w.plain(r.URL.Host); {
	case !plain && r.URL.Scheme != "https":
		return nil, errNeedTLS
	case plain && r.URL.Scheme == "https":
		// The library tries TLS first. It finds the scheme that was used in the answer's
		// request.
		without, to := *r, *r.URL
		to.Scheme, without.URL = "http", &to
		r = &without
	}
	if since, ok := r.Context().Value(unmodifiedKey{}).(time.Time); ok && r.Method == http.MethodDelete {
		r = r.Clone(r.Context())
		r.Header.Set("If-Unmodified-Since", since.UTC().Format(http.TimeFormat))
	}
	if password := w.writes[r.URL.Host]; password != nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		user, pass, err := password()
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.SetBasicAuth(user, pass)
	}
	if r.Method != http.MethodGet || r.URL.Path != "/v2/" || r.URL.RawQuery != "" || r.Header.Get("Authorization") != "" {
		return w.send(r)
	}
	key := r.URL.String()
	w.mu.Lock()
	known := w.answers[key]
	w.mu.Unlock()
	if known == nil {
		answer, err := w.send(r)
		if err != nil || answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusUnauthorized {
			return answer, err
		}
		answer.Body.Close()
		known = answer
		w.mu.Lock()
		w.answers[key] = known
		w.mu.Unlock()
	}
	answer := *known
	answer.Header = known.Header.Clone()
	answer.Body, answer.ContentLength, answer.Request = http.NoBody, 0, r
	return &answer, nil
}

// send sends a request when the registry accepts one, and waits for the answer as long as
// something is transferred.
func (w *wire) send(r *http.Request) (*http.Response, error) {
	at := w.gate(r.URL.Host)
	leave, err := at.enter(r.Context(), r.URL.Host)
	if err != nil {
		return nil, err
	}
	wait := w.patience
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		wait = w.writePatience
	}
	if r.Method == http.MethodPatch {
		// An upload may take hours, for which the others do not wait.
		leave(nil)
		leave = func(answer *http.Response) { at.note(answer) }
	}
	answer, err := stall.RoundTrip(w.inner, r, wait)
	leave(answer)
	return answer, err
}

// gate returns the gate of a host.
func (w *wire) gate(host string) *gate {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.gates[host]
	if at == nil {
		at = &gate{turn: make(chan struct{}, 1)}
		w.gates[host] = at
	}
	return at
}

// forget clears the cached answers.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.answers)
}
