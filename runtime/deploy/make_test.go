//go:build unix

package deploy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	ours "github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A making is an environment with two images: one is built, and one is copied.
type making struct {
	Key                               runtime.EnvironmentKey
	Dir, Registry, BuildKit, Upstream string
}

// run deploys it.
func (m making) run(t *testing.T, config *rest.Config) (*runtime.RunRecord, error) {
	t.Helper()
	ctx, stop := context.WithTimeoutCause(t.Context(), waitTime, fmt.Errorf("it took more than %s", waitTime))
	defer stop()
	b := build.New(build.Options{Dir: m.Dir, Addresses: []string{m.BuildKit}})
	defer b.Close()
	r, err := ours.New(ours.Options{Prefix: m.Registry})
	must(t, err)
	rt := runtimeOn(t, config)
	patient(t, rt, config)
	rt.Builder, rt.Registry = b, r
	api, cache := container("api"), container("cache")
	api.Type, api.Image.Build, cache.Image.Mirror = plan.Application, "api", m.Upstream+"/redis:7"
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: m.Key.Pipeline},
		Environment: plan.EnvironmentRef{Name: m.Key.Name, Kind: "environment"},
		Stages:      []plan.Stage{{Name: "one", Order: 1}},
		Builds:      []plan.BuildSpec{{ID: "api", Source: plan.Source{Path: "src"}, Context: ".", Dockerfile: "Dockerfile"}},
		Services:    []plan.Service{api, cache},
	}
	for i := range p.Services {
		p.Services[i].Stage = "one"
	}
	record, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: m.Key, Plan: p, WaitLock: true, By: "test"})
	return record, explainedRun(err)
}

// TestRegistryKills kills processes, with SIGKILL, at requests to the registry, both those
// of the push of a build and those of a copy, before and after the registry has carried
// them out: the next run completes, each image is complete, and nothing is duplicated (A6).
func TestRegistryKills(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	way, server := newToll(testenv.Registry(t))
	t.Cleanup(server.Close)
	upstream := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(upstream.Close)
	from := strings.TrimPrefix(upstream.URL, "http://")
	content, err := random.Image(100_000, 2)
	must(t, err)
	ref, err := name.ParseReference(from + "/redis:7")
	must(t, err)
	must(t, remote.Write(ref, content))
	fresh := func() making {
		t.Helper()
		m := making{
			Key: runtime.EnvironmentKey{Pipeline: runtimetest.Unique("make"), Name: "dev"}, Dir: t.TempDir(),
			BuildKit: testenv.BuildKit(t), Upstream: from,
		}
		m.Registry = strings.TrimPrefix(server.URL, "http://") + "/" + m.Key.Pipeline
		must(t, os.Mkdir(filepath.Join(m.Dir, "src"), 0o755))
		must(t, os.WriteFile(filepath.Join(m.Dir, "src", "Dockerfile"), []byte("FROM scratch\nCOPY name /\n"), 0o644))
		must(t, os.WriteFile(filepath.Join(m.Dir, "src", "name"), []byte(m.Key.Pipeline), 0o644))
		t.Cleanup(func() { deleteNamespace(client(t, config), m.Key.Namespace()) })
		return m
	}

	// An undisturbed run shows which requests there are.
	calm := fresh()
	_, err = calm.run(t, config)
	must(t, err)
	points := way.arm(point{}, false, nil)
	slices.SortStableFunc(points, func(a, b point) int { return a.rank() - b.rank() })
	calm.check(t, config, way, point{}, "a run in peace")
	killed := 0
	for turn := range min(max(*kills/4, 4), 2*len(points)) {
		m, at, after := fresh(), points[turn/2], turn%2 == 1
		died := fate{Making: &m}.dies(t, way, at, after)
		if died {
			killed++
		} else if at.rank() == 0 {
			t.Errorf("nobody was killed at %v", at)
		}
		m.check(t, config, way, at, fmt.Sprintf("a kill at %v, after it %v", at, after))
	}
	t.Logf("%d processes were killed, at the first of %d requests, before and after each", killed, len(points))
}

// dies starts a process with the fate, and kills it at a request to the registry. It reports
// whether the process was killed.
func (f fate) dies(t *testing.T, way *toll, at point, after bool) (killed bool) {
	t.Helper()
	started, dead := make(chan *os.Process, 1), make(chan struct{})
	way.arm(at, after, func() {
		p := <-started
		killed = true
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		<-dead
	})
	child, out := f.start(t)
	started <- child.Process
	err := child.Wait()
	close(dead)
	way.arm(point{}, false, nil)
	if err != nil && !killed {
		t.Errorf("deploy: %v\n%s", err, out)
	}
	return killed
}

// check deploys m, which must complete, and checks the resulting state, and that the next
// run has nothing to do. A process may have been killed at a request before.
func (m making) check(t *testing.T, config *rest.Config, way *toll, at point, after string) {
	t.Helper()
	record, err := m.run(t, config)
	if err != nil {
		t.Errorf("after %s: deploy = %v", after, err)
		return
	}
	for _, s := range record.Services {
		ref, err := name.NewDigest(s.Image)
		must(t, err)
		if err := testenv.Whole(ref); err != nil {
			t.Errorf("after %s: the image of %s, %s: %v", after, s.Service, s.Image, err)
		}
		// A build has one tag, that of its source; a copy also has the mutable one. Beside
		// them are notes about the image.
		want := map[string]int{"api": 1, "cache": 2}[s.Service]
		tags, err := remote.List(ref.Context())
		tags = slices.DeleteFunc(tags, func(tag string) bool { return strings.HasSuffix(tag, ".made") })
		// Both tags of a copy are written concurrently. If a process is killed meanwhile, it may have only the mutable
		// one, and gets the other one before that moves.
		between := s.Service == "cache" && at.What == "PUT mirror/manifests" && slices.Equal(tags, []string{"7"})
		if err != nil || len(tags) != want && !between {
			t.Errorf("after %s: %s has the tags %q, %v; want %d", after, ref.Context(), tags, err, want)
		}
	}
	way.arm(point{}, false, nil)
	record, err = m.run(t, config)
	if err != nil || slices.ContainsFunc(record.Services, func(s runtime.ServiceRecord) bool { return s.State != runtime.Unchanged }) {
		t.Errorf("after %s: once more = %+v, %v; want all unchanged", after, record, err)
	}
	for _, p := range way.arm(point{}, false, nil) {
		if p.rank() < 2 {
			t.Errorf("after %s: once more did %v", after, p)
		}
	}
	deployed, err := newDeployer(t, deploy.Options{Config: config}).Deployed(t.Context(), m.Key.Namespace())
	if err != nil || deployed["api"].Revision != 1 || deployed["cache"].Revision != 1 {
		t.Errorf("after %s: %+v, %v is deployed; want one revision of each", after, deployed, err)
	}
}
