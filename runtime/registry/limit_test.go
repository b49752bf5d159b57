package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/internal/stall"
	"github.com/pipelinefile/pipe/runtime"
)

// answers is a registry in memory that answers with what is next.
type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func answer(r *http.Request, status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: http.NoBody, Request: r}
}

// However many requests there are, only one of them asks a registry that has had too many, and
// not before the time that it names.
func TestTooManyRequestsAreWaitedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var early int
		w := newWire(nil)
		w.inner = answers(func(r *http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			switch since := time.Since(began); {
			case since < time.Minute:
				if since > 0 {
					early++
				}
				return answer(r, http.StatusTooManyRequests, "Retry-After", "40")
			default:
				return answer(r, http.StatusOK)
			}
		})
		var said atomic.Int32
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(func() {
				ctx := context.WithValue(t.Context(), waitingKey{}, func(host string, wait time.Duration) {
					said.Add(1)
					if host != "registry.test" || wait <= 0 || wait > 40*time.Second {
						t.Errorf("waits %s for %s", wait, host)
					}
				})
				for {
					r := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://registry.test/v2/a/blobs/x", nil)
					got, err := w.RoundTrip(r)
					if err != nil {
						t.Error(err)
						return
					}
					got.Body.Close()
					if got.StatusCode == http.StatusOK {
						return
					}
				}
			})
		}
		wait.Wait()
		// Some were sent before the first answer; after 40 seconds one was, and after 80 seconds all.
		if early != 1 || time.Since(began) != 80*time.Second {
			t.Errorf("%d requests too early, all accepted after %s; want 1, 1m20s", early, time.Since(began))
		}
		if said.Load() != 40 {
			t.Errorf("it was said %d times that a request waits, want twice for each of 20", said.Load())
		}
	})
}

func TestLimitIsBoundedByTheDeadline(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		after    string
		deadline time.Duration // 0: none
		waits    bool
	}{
		{"30", time.Minute, true},
		{"90", time.Minute, false},
		{"540", 0, true},
		{"601", 0, false},
		{"99999999999999999", 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(nil)
			sent := 0
			w.inner = answers(func(r *http.Request) *http.Response {
				if sent++; sent == 1 {
					return answer(r, http.StatusTooManyRequests, "Retry-After", row.after)
				}
				return answer(r, http.StatusOK)
			})
			ctx := t.Context()
			if row.deadline > 0 {
				limited, stop := context.WithTimeout(ctx, row.deadline)
				defer stop()
				ctx = limited
			}
			began := time.Now()
			var err error
			for range 2 {
				var got *http.Response
				if got, err = w.RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodGet, "https://registry.test/x", nil)); err == nil {
					got.Body.Close()
				}
			}
			var limited *limitedError
			switch {
			case row.waits && (err != nil || sent != 2):
				t.Errorf("Retry-After %s with a deadline of %s: %v after %d requests; want it waited for", row.after, row.deadline, err, sent)
			case !row.waits && (!errors.As(err, &limited) || sent != 1 || time.Since(began) > 0):
				t.Errorf("Retry-After %s with a deadline of %s: %v after %d requests and %s; want an error immediately", row.after, row.deadline, err, sent, time.Since(began))
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) // on the registry's clock, which is wrong
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, row := range []struct {
		status int
		after  string
		want   time.Duration
	}{
		{429, "7", 7 * time.Second},
		{503, "7", 7 * time.Second},
		{429, date(time.Hour), time.Hour},
		{429, date(-time.Hour), 0},
		{429, "0", 0},
		{429, "-3", 0},
		{429, "", 0},
		{429, "soon", 0},
		{500, "7", 0},
		{200, "7", 0},
	} {
		got, ok := stall.RetryAfter(answer(nil, row.status, "Retry-After", row.after, "Date", date(0)))
		if !ok {
			got = 0
		}
		if got != row.want {
			t.Errorf("%d with Retry-After %q: %s, want %s", row.status, row.after, got, row.want)
		}
	}
}

// A copy whose registry received too many requests continues when it accepts more.
func TestMirrorWaitsForALimit(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	src := u.addr + "/redis:7"
	push(t, src, image(t))
	var sent, limited atomic.Int32
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") || sent.Add(1) > 1 {
			return false
		}
		limited.Add(1)
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	var e events
	if _, copied, err := newRegistry(t, s.Addr).Mirror(t.Context(), src, e.emit); err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	said := 0
	for _, b := range e.all {
		if r, ok := b.(runtime.Retried); ok {
			said++
			if want := fmt.Sprintf("registry %s received too many requests and asks to wait for 1 s", u.addr); r.Error != want || r.Wait != 1 || r.Again != 0 {
				t.Errorf("event = %+v, want %s", r, want)
			}
		}
	}
	if said == 0 || limited.Load() != 1 {
		t.Errorf("%d events about %d answers", said, limited.Load())
	}
}

func TestLimitThatIsTooLong(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "21600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	_, _, err := newRegistry(t, s.Addr).Mirror(t.Context(), u.addr+"/redis:7", discard)
	want := fmt.Sprintf(`image %s/redis:7: registry %s received too many requests and accepts none for 6h0m0s: run "docker login %s", or run again after that`, u.addr, u.addr, u.addr)
	if err == nil || err.Error() != want || !errors.Is(err, runtime.ErrUnreachable) {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
}

// A registry that accepts connections and never answers, or stops in the middle of an answer.
func TestNeverAnswers(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	src := u.addr + "/redis:7"
	push(t, src, image(t))
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	never := func(w http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-over:
		}
		return true
	}
	u.when(never)
	r := newRegistry(t, s.Addr)
	r.wire.patience = time.Second
	_, _, err := r.Mirror(t.Context(), src, discard)
	want := fmt.Sprintf("image %s: registry %s does not respond: check the network and its address", src, u.addr)
	if err == nil || err.Error() != want || !errors.Is(err, runtime.ErrUnreachable) {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
	// Once in the middle of a blob.
	var cut atomic.Bool
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") || cut.Swap(true) {
			return false
		}
		u.half(w, r, func() { never(w, r) })
		return true
	})
	if _, copied, err := r.Mirror(t.Context(), src, discard); err != nil || !copied || !cut.Load() {
		t.Errorf("Mirror = %v, %v", copied, err)
	}
}
