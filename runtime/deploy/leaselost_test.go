//go:build unix

package deploy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/store"
)

// briefLease is long enough for a busy machine, and short enough to wait until it is lost.
const briefLease = 6 * time.Second

// TestLeaseLost: a run that cannot renew its lease, in the middle of a write to the cluster, ends with that error, and
// the next run completes what it has left (A4, A6).
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for _, write := range []int64{3, 15, 25} {
		for _, after := range []bool{false, true} {
			wg.Go(func() { loseLease(t, write, after) })
		}
	}
	wg.Wait()
}

func loseLease(t *testing.T, write int64, after bool) {
	v := newVictim(t)
	slow, reached := unanswered(testenv.Cluster(t), write, after)
	rt := runtimeOn(t, slow)
	s := store.Open(client(t, slow), store.Options{LeaseDuration: briefLease})
	rt.Store, rt.Locker = s, s
	what := fmt.Sprintf("write %d is not answered, after it %v", write, after)
	if err := perform(t.Context(), rt, v.key, "deploy 1"); !errors.Is(err, runtime.ErrLeaseLost) || !reached.Load() {
		t.Errorf("%s: deploy 1 = %v, at the write: %v; want that the lease is lost", what, err, reached.Load())
	}
	if err := complete(t, runtimeOn(t, testenv.Cluster(t)), v.key, "deploy 1"); err != nil {
		t.Errorf("%s: once more = %v", what, err)
	}
	v.check("deploy 1")
}

// unanswered returns a config for a server that does not answer a write, before or after it has carried it out, and from
// then on no renewal of a lease.
func unanswered(config *rest.Config, write int64, after bool) (*rest.Config, *atomic.Bool) {
	config = rest.CopyConfig(config)
	var n atomic.Int64
	reached := &atomic.Bool{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			renewal := strings.Contains(r.URL.Path, "/leases/")
			switch {
			case renewal && r.Method == http.MethodPut && reached.Load():
			case !renewal && r.Method != http.MethodGet && n.Add(1) == write:
				reached.Store(true)
				if after {
					if answer, err := next.RoundTrip(r); err == nil {
						_, _ = io.Copy(io.Discard, answer.Body)
						_ = answer.Body.Close()
					}
				}
			default:
				return next.RoundTrip(r)
			}
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-time.After(2 * briefLease): // a write that has begun is awaited
				return nil, errors.New("there was no answer")
			}
		})
	})
	return config, reached
}
