package store

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// leaseDuration is short, so that tests do not take long, and long enough for a
// busy machine to renew in time.
const leaseDuration = 8 * time.Second

// slow is how much longer than it should anything may take on a busy machine.
const slow = time.Minute

// TestMain lets more tests run concurrently than there are processors: most of them
// wait for leases to expire.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	m.Run()
}

// process is a store as one process has it, that can be killed: none of its
// requests arrives any more.
type process struct {
	*Store
	dead     atomic.Bool
	requests atomic.Int64 // that are no watches
	// before is asked before each request, counted from 1, if it is set; an
	// error is the answer. After is asked when the server has answered.
	before, after func(n int64, r *http.Request) error
	shaken        atomic.Bool // whether before and after are asked
}

func (p *process) kill() { p.dead.Store(true) }

func start(t *testing.T, opts Options) *process {
	t.Helper()
	p := &process{}
	cfg := testenv.Cluster(t)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if p.dead.Load() {
				return nil, errors.New("the process is dead")
			}
			if r.URL.Query().Get("watch") != "" {
				return next.RoundTrip(r)
			}
			n := p.requests.Add(1)
			if p.before != nil && p.shaken.Load() {
				if err := p.before(n, r); err != nil {
					return nil, err
				}
			}
			answer, err := next.RoundTrip(r)
			if err == nil && p.after != nil && p.shaken.Load() {
				if err := p.after(n, r); err != nil {
					answer.Body.Close()
					return nil, err
				}
			}
			return answer, err
		})
	})
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Store = Open(client, opts)
	return p
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// client returns one that no test makes fail.
func client(t *testing.T) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(testenv.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fresh returns the key of an environment whose namespace does not exist yet.
func fresh(t *testing.T) runtime.EnvironmentKey {
	t.Helper()
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("store"), Name: "staging"}
	c := client(t)
	t.Cleanup(func() {
		c.CoreV1().Namespaces().Delete(context.Background(), key.Namespace(), metav1.DeleteOptions{})
	})
	return key
}

func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("own namespace", func(t *testing.T) {
		t.Parallel()
		runtimetest.TestStore(t, func(t *testing.T) runtime.Store { return start(t, Options{}) })
	})
	t.Run("state namespace", func(t *testing.T) {
		t.Parallel()
		opts := Options{Namespace: fresh(t).Namespace()}
		runtimetest.TestStore(t, func(t *testing.T) runtime.Store { return start(t, opts) })
	})
}

func TestLocker(t *testing.T) {
	t.Parallel()
	// The time in which a dead one is certainly found dead: its lease was
	// renewed just now, and is watched for its whole duration.
	runtimetest.TestLocker(t, runtimetest.LockerTest{
		Open: func(t *testing.T) (runtime.Locker, func()) {
			p := start(t, Options{LeaseDuration: leaseDuration})
			return p, p.kill
		},
		Expiry: 5 * leaseDuration / 2,
	})
}
