package daemon

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/pipelinefile/pipe/internal/stall"
)

// withTransport makes BuildKit's requests to registries end when a registry sends nothing for a
// time, and find images in registries that do not answer HEAD requests.
func withTransport(hosts docker.RegistryHosts, busy *busyHosts, read, write time.Duration) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		all, err := hosts(host)
		for i, h := range all {
			inner := h.Client.Transport
			if inner == nil {
				inner = http.DefaultTransport
			}
			client := *h.Client
			client.Transport = &transport{inner, busy, read, write}
			all[i].Client = &client
		}
		return all, err
	}
}

// A transport sends requests to registries.
type transport struct {
	inner       http.RoundTripper
	busy        *busyHosts
	read, write time.Duration // how long a registry may be silent
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.send(r)
	if err != nil || r.Method != http.MethodHead || !strings.Contains(r.URL.Path, "/manifests/") {
		return answer, err
	}
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
	default:
		return answer, nil
	}
	get := r.Clone(r.Context())
	get.Method = http.MethodGet
	got, err := t.send(get)
	if err != nil {
		return answer, nil //nolint:nilerr // the answer to HEAD is one
	}
	got.Body.Close()
	if got.StatusCode != http.StatusOK && got.StatusCode != http.StatusNotFound {
		return answer, nil
	}
	answer.Body.Close()
	got.Body, got.Request = http.NoBody, r
	return got, nil
}

func (t *transport) send(r *http.Request) (*http.Response, error) {
	wait := t.write
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		wait = t.read
	}
	answer, err := stall.RoundTrip(t.inner, r, wait)
	if err != nil {
		return nil, final(err)
	}
	if wait, ok := stall.RetryAfter(answer); ok {
		t.busy.note(r.URL.Host, wait)
	}
	answer.Body = &body{answer.Body}
	return answer, nil
}

// final returns the error of a silent registry as one after which BuildKit does not send the
// request again: pipe repeats the build.
func final(err error) error {
	var stalled *stall.Error
	if errors.As(err, &stalled) {
		return &silentError{stalled.Error()}
	}
	return err
}

// A silentError is the error of a registry that sends nothing. Unlike *[stall.Error], it is no
// timeout, and so not temporary.
type silentError struct{ text string }

func (e *silentError) Error() string { return e.text }

// A body is the body of an answer.
type body struct{ io.ReadCloser }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a reader returns it as it is
		err = final(err)
	}
	return n, err
}
