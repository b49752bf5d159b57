package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A read is given up if the registry sends nothing for patience. A write may take it longer to
// answer, because it may have to move gigabytes in its storage before.
const (
	patience      = time.Minute
	writePatience = 5 * patience
)

// A stallError says that a registry has accepted a request and sends nothing.
type stallError struct {
	host string
	wait time.Duration
}

func (e *stallError) Error() string {
	return fmt.Sprintf("registry %s has sent nothing for %s", shownHost(e.host), e.wait)
}

// Timeout makes it one of the errors after which a request is sent again.
func (e *stallError) Timeout() bool { return true }

// Temporary implements the deprecated method of net.Error.
func (e *stallError) Temporary() bool { return true }

// A watchdog cancels a request when nothing is sent and nothing is received.
type watchdog struct {
	wait    time.Duration
	timer   *time.Timer
	stalled atomic.Bool
	cancel  context.CancelFunc
	host    string
}

// patiently sends a request, and ends it with a *stallError if nothing moves. The time that
// the caller needs to read the answer, or to provide the body, does not count.
func patiently(inner http.RoundTripper, r *http.Request, wait time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	w := &watchdog{wait: wait, cancel: cancel, host: r.URL.Host}
	w.timer = time.AfterFunc(wait, func() {
		w.stalled.Store(true)
		cancel()
	})
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &watchedBody{r.Body, w}
	}
	answer, err := inner.RoundTrip(r)
	w.timer.Stop()
	if err != nil {
		cancel()
		return nil, w.err(err)
	}
	answer.Body = &watchedAnswer{answer.Body, w}
	return answer, nil
}

func (w *watchdog) err(err error) error {
	if err != nil && w.stalled.Load() {
		return &stallError{w.host, w.wait}
	}
	return err
}

// A watchedBody is the body of a request.
type watchedBody struct {
	io.ReadCloser
	dog *watchdog
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.dog.timer.Stop()
	n, err := b.ReadCloser.Read(p)
	b.dog.timer.Reset(b.dog.wait)
	return n, err
}

// A watchedAnswer is the body of an answer.
type watchedAnswer struct {
	io.ReadCloser
	dog *watchdog
}

func (b *watchedAnswer) Read(p []byte) (int, error) {
	b.dog.timer.Reset(b.dog.wait)
	n, err := b.ReadCloser.Read(p)
	b.dog.timer.Stop()
	if err != nil && err != io.EOF { //nolint:errorlint // a reader returns it as it is
		err = b.dog.err(err)
	}
	return n, err
}

func (b *watchedAnswer) Close() error {
	b.dog.timer.Stop()
	b.dog.cancel()
	return b.ReadCloser.Close()
}
