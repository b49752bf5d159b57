package store

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// cluster returns how to reach the cluster of the tests.
func cluster(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv("PIPE_TEST_KUBECONFIG") == "" {
		t.Skip("PIPE_TEST_KUBECONFIG names no cluster for tests")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", os.Getenv("PIPE_TEST_KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS, cfg.Burst = 1000, 2000
	return cfg
}

// process is a store as one process has it, that can be killed: none of its
// requests arrives any more.
type process struct {
	*Store
	dead     atomic.Bool
	requests atomic.Int64
}

func (p *process) kill() { p.dead.Store(true) }

func start(t *testing.T, opts Options) *process {
	t.Helper()
	p := &process{}
	cfg := rest.CopyConfig(cluster(t))
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if p.dead.Load() {
				return nil, errors.New("the process is dead")
			}
			p.requests.Add(1)
			return next.RoundTrip(r)
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

// stateNamespace returns a fresh namespace for the state of all.
func stateNamespace(t *testing.T) string {
	t.Helper()
	name := runtimetest.Unique("contract-state")
	client := kubernetes.NewForConfigOrDie(cluster(t))
	t.Cleanup(func() {
		client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	return name
}

func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("own namespace", func(t *testing.T) {
		t.Parallel()
		runtimetest.TestStore(t, func(t *testing.T) runtime.Store { return start(t, Options{}) })
	})
	t.Run("state namespace", func(t *testing.T) {
		t.Parallel()
		opts := Options{Namespace: stateNamespace(t)}
		runtimetest.TestStore(t, func(t *testing.T) runtime.Store { return start(t, opts) })
	})
}

func TestLocker(t *testing.T) {
	t.Parallel()
	// The time in which a dead one is certainly found dead: its lease was
	// renewed just now, and is watched for its whole duration.
	runtimetest.TestLocker(t, runtimetest.LockerTest{
		Open: func(t *testing.T) (runtime.Locker, func()) {
			p := start(t, Options{LeaseDuration: 2 * time.Second})
			return p, p.kill
		},
		Expiry: 6 * time.Second,
	})
}
