//go:build unix

package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
	"github.com/pipelinefile/pipe/runtime/store"
)

// A fate is the action of a process, and when it is killed: at a write, or after some time.
type fate struct {
	Action  string
	Key     runtime.EnvironmentKey
	Write   int64         // the write at which it is killed; 0: none
	After   bool          // after the server has carried out the write
	Millis  int           // or after this many milliseconds
	Stop    bool          // it is suspended instead of killed
	Lease   time.Duration // default: that of the runtime
	Making  *making       // it deploys this, and another process kills it
	Copying *copying      // the same
}

func (f fate) String() string {
	switch {
	case f.Write == 0:
		return fmt.Sprintf("%s killed after %d ms", f.Action, f.Millis)
	case f.After:
		return fmt.Sprintf("%s killed after write %d", f.Action, f.Write)
	}
	return fmt.Sprintf("%s killed before write %d", f.Action, f.Write)
}

// fateKey makes this test binary a process with a fate.
const fateKey = "PIPE_DEPLOY_TEST_FATE"

// run runs a process with the fate, and reports whether it was killed.
func (f fate) run(t *testing.T) bool {
	child, out := f.start(t)
	if f.Write == 0 {
		timer := time.AfterFunc(time.Duration(f.Millis)*time.Millisecond, func() { _ = child.Process.Kill() })
		defer timer.Stop()
	}
	err := child.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil {
		t.Errorf("%v: %v\n%s", f, err, out.Bytes())
	}
	return false
}

// start starts a process with the fate; out is its output.
func (f fate) start(t *testing.T) (child *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	data, err := json.Marshal(f)
	must(t, err)
	child, out = exec.Command(os.Args[0], "-test.run=^TestFate$"), &bytes.Buffer{}
	// Files that it would remove at its end are removed with this test.
	child.Env = append(os.Environ(), fateKey+"="+string(data), "PIPE_TEST_KUBECONFIG="+testenv.Kubeconfig(t), "TMPDIR="+t.TempDir())
	child.Stdout, child.Stderr = out, out
	must(t, child.Start())
	return child, out
}

// TestFate is the main function of the process.
func TestFate(t *testing.T) {
	text := os.Getenv(fateKey)
	if text == "" {
		t.Skip("it is what TestKills starts")
	}
	var f fate
	must(t, json.Unmarshal([]byte(text), &f))
	config := testenv.Cluster(t)
	switch {
	case f.Making != nil:
		_, err := f.Making.run(t, config)
		must(t, err)
		return
	case f.Copying != nil:
		_, err := f.Copying.run(t, config)
		must(t, err)
		return
	}
	var n atomic.Int64
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return next.RoundTrip(r)
			}
			if n.Add(1) != f.Write {
				return next.RoundTrip(r)
			}
			if f.Stop {
				answer, err := next.RoundTrip(r)
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
				return answer, err
			}
			if f.After {
				if answer, err := next.RoundTrip(r); err == nil {
					_, _ = io.Copy(io.Discard, answer.Body)
				}
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		})
	})
	rt := runtimeOn(t, config)
	s := store.Open(client(t, config), store.Options{LeaseDuration: f.Lease})
	rt.Store, rt.Locker = s, s
	if f.Stop { // it loses its lease, and must end
		must(t, perform(t.Context(), rt, f.Key, f.Action))
		return
	}
	must(t, complete(t, rt, f.Key, f.Action))
}

func copyOf(key runtime.EnvironmentKey) runtime.EnvironmentKey {
	return runtime.EnvironmentKey{Pipeline: key.Pipeline, Name: key.Name + "-copy"}
}

// complete does an action of life, and repeats it when its run has lost the lease, which happens if this machine is too
// busy to renew it for ten seconds. Such a run has ended in the middle of its work, like that of a killed process, and
// the next one completes it (A4, A6).
func complete(t *testing.T, rt *runtime.Runtime, key runtime.EnvironmentKey, action string) (err error) {
	t.Helper()
	for range 5 {
		if err = perform(t.Context(), rt, key, action); !errors.Is(err, runtime.ErrLeaseLost) {
			return err
		}
		t.Logf("%s of %s has lost its lease, and is repeated", action, key.Namespace())
	}
	return err
}

// patient gives a runtime leases that a busy machine does not lose, for tests that compare what exactly is done.
func patient(t *testing.T, rt *runtime.Runtime, config *rest.Config) {
	t.Helper()
	s := store.Open(client(t, config), store.Options{LeaseDuration: time.Minute})
	rt.Store, rt.Locker = s, s
}

// perform does an action of life, without assuming whether it was started before.
func perform(ctx context.Context, rt *runtime.Runtime, key runtime.EnvironmentKey, action string) error {
	ctx, stop := context.WithTimeoutCause(ctx, waitTime, fmt.Errorf("%s took more than %s", action, waitTime))
	defer stop()
	verb, what, _ := strings.Cut(action, " ")
	req := runtime.Request{Environment: key, WaitLock: true, By: "test"}
	switch verb {
	case "deploy":
		req.Action, req.Plan = runtime.Deploy, killPlan(key, what)
	case "adopt":
		req.Action, req.Plan, req.Adopt = runtime.Deploy, killPlan(key, what), true
	case "stop":
		req.Action = runtime.Stop
	case "start":
		req.Action = runtime.Start
	case "clone":
		_, err := rt.Clone(ctx, runtime.CloneRequest{Source: key, Name: copyOf(key).Name})
		if err != nil && !errors.Is(err, runtime.ErrConflict) {
			return err
		}
		req.Action, req.Environment = runtime.Deploy, copyOf(key)
	case "delete":
		req.Action = runtime.Delete
		if what == "clone" {
			req.Environment = copyOf(key)
		}
	}
	_, err := rt.Run(ctx, req)
	if verb == "delete" && errors.Is(err, runtime.ErrNotFound) {
		return nil // the killed process has removed it
	}
	return explainedRun(err)
}

// runtimeOn returns the runtime of a process that reaches the cluster with the config.
func runtimeOn(t testing.TB, config *rest.Config) *runtime.Runtime {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	must(t, err)
	w := runtimetest.NewWorld() // images are not built or copied
	s := store.Open(c, store.Options{})
	dir := t.TempDir()
	migrating(t, dir) // see killPlan
	return &runtime.Runtime{
		Builder: w.Builder, Registry: w.Registry, Environments: runtime.Environments{Store: s, Locker: s},
		Deployer: newDeployer(t, deploy.Options{Config: config, Dir: dir}),
	}
}

// counted returns a config whose writes are counted.
func counted(config *rest.Config, n *atomic.Int64) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet {
				n.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	return config
}

// withTrouble returns a config for a server with a trouble, until stop.
func withTrouble(t *testing.T, config *rest.Config, trouble string) (troubled *rest.Config, stop func()) {
	t.Helper()
	config = rest.CopyConfig(config)
	if trouble == "restart" {
		return restarting(t, config)
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if rand.IntN(8) != 0 {
				return next.RoundTrip(r)
			}
			switch trouble {
			case "429":
				answer := answered(r, http.StatusTooManyRequests)
				answer.Header.Set("Retry-After", "1")
				return answer, nil
			case "500":
				return answered(r, http.StatusInternalServerError), nil
			default:
				time.Sleep(500 * time.Millisecond)
				return next.RoundTrip(r)
			}
		})
	})
	return config, func() {}
}

// answered returns an answer to a request that does not reach the server.
func answered(r *http.Request, status int) *http.Response {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return &http.Response{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, StatusCode: status,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader("overloaded")),
	}
}

// restarting cuts the connection to the server repeatedly, for a while.
func restarting(t *testing.T, config *rest.Config) (*rest.Config, func()) {
	t.Helper()
	w, config := newWire(t, config)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-time.After(time.Duration(200+rand.IntN(1500)) * time.Millisecond):
			case <-done:
				return
			}
			w.cut(true)
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
			w.cut(false)
		}
	})
	return config, func() {
		close(done)
		wg.Wait()
	}
}
