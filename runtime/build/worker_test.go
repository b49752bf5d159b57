package build_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// A worker is a BuildKit of one test.
type worker struct {
	at   daemon.Background
	addr string
	pid  int
}

// startWorker starts a BuildKit with an empty cache.
func startWorker(t testing.TB) *worker {
	t.Helper()
	w := &worker{at: daemon.Background{Home: t.TempDir(), Idle: time.Minute}}
	w.start(t)
	t.Cleanup(func() {
		w.start(t) // one that was killed leaves mounts, which the next one removes
		if err := w.at.Process().Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start starts it if it does not run, at the same address.
func (w *worker) start(t testing.TB) {
	t.Helper()
	a, err := w.at.Ensure(context.Background())
	if err != nil {
		unavailable(t, "buildkit", err)
	}
	t.Cleanup(a.Release)
	if w.addr != "" && w.addr != a.Addr {
		t.Fatalf("BuildKit is at %s now, and was at %s", a.Addr, w.addr)
	}
	w.addr, w.pid = a.Addr, a.PID
}

// onPlatform is a build for which no builder is asked for its platform.
func onPlatform(source string) plan.BuildSpec {
	s := spec(source)
	s.Platforms = []string{"linux/amd64"}
	return s
}

// A refusing is a BuildKit that responds, but accepts no builds.
type refusing struct {
	controlapi.UnimplementedControlServer
	asked atomic.Int32 // to build
}

func (r *refusing) Info(context.Context, *controlapi.InfoRequest) (*controlapi.InfoResponse, error) {
	return &controlapi.InfoResponse{}, nil
}

func (r *refusing) Solve(context.Context, *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	r.asked.Add(1)
	return nil, status.Error(codes.Unavailable, "no more builds here")
}

func (r *refusing) Session(controlapi.Control_SessionServer) error {
	return status.Error(codes.Unavailable, "no more builds here")
}

func (r *refusing) Status(*controlapi.StatusRequest, controlapi.Control_StatusServer) error {
	return status.Error(codes.Unavailable, "no more builds here")
}

// retried returns the retries among the events.
func (r *record) retried() (all []runtime.Retried) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e, ok := e.(runtime.Retried); ok {
			all = append(all, e)
		}
	}
	return all
}

// onStarted records events in r, and calls end once, when a command of the build has printed "started".
func onStarted(r *record, end func()) runtime.Emit {
	end = sync.OnceFunc(end)
	return func(e runtime.Body) {
		r.emit(e)
		if l, ok := e.(runtime.Log); ok && l.Text == "started" {
			end()
		}
	}
}

// whereami is a Dockerfile whose output names the builder that runs it: the path of the root
// of the container is below the directory of the builder.
const whereami = shell + "COPY x /x\nRUN cat /proc/self/mountinfo\n"

// builtOn returns the worker that has run whereami.
func builtOn(t testing.TB, r *record, workers []*worker) *worker {
	t.Helper()
	text := r.text()
	for _, w := range workers {
		if strings.Contains(text, filepath.Join(w.at.Home, "buildkit")+"/") {
			return w
		}
	}
	t.Errorf("no builder is named in\n%s", text)
	return workers[0]
}
