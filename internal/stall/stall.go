// Package stall ends requests to which a registry sends nothing. A server whose machine is gone, or
// that hangs, is silent without an error: a caller would wait for it forever. It also reads for how
// long a registry that is too busy asks to be left alone.
package stall

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// How long registries may send nothing. They may answer a write later, because they may move
// gigabytes in their storage before.
const (
	Read  = time.Minute
	Write = 5 * Read
)

// An Error says that a registry has accepted a request and sends nothing.
type Error struct {
	Host string
	Wait time.Duration
}

func (e *Error) Error() string {
	return fmt.Sprintf("registry %s has sent nothing for %s", e.Host, e.Wait)
}

// Timeout makes it one of the errors after which a request is sent again.
func (e *Error) Timeout() bool { return true }

// Temporary implements the deprecated method of net.Error.
func (e *Error) Temporary() bool { return true }

// A watchdog cancels a request when nothing is sent and nothing is received.
type watchdog struct {
	wait    time.Duration
	timer   *time.Timer
	stalled atomic.Bool
	cancel  context.CancelFunc
	host    string
}

// RoundTrip sends a request with inner, and ends it with an *[Error] if nothing is sent or received
// for wait. The time that the caller needs to read the answer, or to provide the body, does not count.
func RoundTrip(inner http.RoundTripper, r *http.Request, wait time.Duration) (*http.Response, error) {
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
		return &Error{w.host, w.wait}
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
