package registry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// manyImages is the number of built images of a large pipeline.
const manyImages = 500

// many returns a runtime whose registry is r, and the plan of many services whose images are
// built and in the registry.
func many(tb testing.TB, r *Registry) (*runtime.Runtime, *plan.Plan) {
	tb.Helper()
	p := &plan.Plan{
		Version:     plan.Version,
		Pipeline:    plan.Pipeline{Name: "shop", BuildParallelism: 4, DeployParallelism: 4},
		Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages:      []plan.Stage{{Name: "all", Order: 1}},
	}
	rt := runtimetest.NewWorld().Runtime()
	rt.Registry = r
	for i := range manyImages {
		id := fmt.Sprintf("s%03d", i)
		p.Builds = append(p.Builds, plan.BuildSpec{ID: id, Source: plan.Source{Path: id}, Context: ".", Dockerfile: "Dockerfile"})
		p.Services = append(p.Services, plan.Service{Name: id, Type: plan.Application, Stage: "all", Image: plan.ImageSource{Build: id}, Workload: plan.Workload{Replicas: 1}})
	}
	// An index without images is enough to be found.
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	err := inParallel(tb.Context(), p.Builds, func(ctx context.Context, spec plan.BuildSpec) error {
		identity, err := rt.Builder.Identify(ctx, spec)
		if err != nil {
			return err
		}
		at, tag, _ := strings.Cut(strings.TrimPrefix(r.Ref(spec.ID, identity), r.prefix), ":")
		put, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+r.prefix+"/v2"+at+"/manifests/"+tag, strings.NewReader(manifest))
		if err != nil {
			return err
		}
		put.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		answer, err := http.DefaultClient.Do(put)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusCreated {
			return fmt.Errorf("the registry answers %s", answer.Status)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return rt, p
}

// look looks for the images of p, which all exist.
func look(tb testing.TB, rt *runtime.Runtime, p *plan.Plan) {
	tb.Helper()
	steps, err := rt.Preview(tb.Context(), runtime.Request{Action: runtime.Deploy, Environment: runtime.KeyOf(p), Plan: p})
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range steps {
		if !strings.Contains(s.Ref, "@") {
			tb.Fatalf("the image of %s was not found", s.Service)
		}
	}
}

// Looking for many images costs one HEAD request each, and several are made concurrently.
func TestLookForManyImages(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	rt, p := many(t, newRegistry(t, u.addr))
	u.seen("")
	const together = 8
	var mu sync.Mutex
	open, now := make(chan struct{}), 0
	u.when(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead {
			return false
		}
		mu.Lock()
		if now++; now == together {
			close(open)
		}
		mu.Unlock()
		select {
		case <-open:
		case <-time.After(30 * time.Second):
			t.Errorf("less than %d requests are made concurrently", together)
		}
		return false
	})
	look(t, rt, p)
	heads, others := 0, []string{}
	for _, r := range u.seen("") {
		if strings.HasPrefix(r, "HEAD ") {
			heads++
		} else {
			others = append(others, r)
		}
	}
	if heads != manyImages || len(others) > 16 { // one for each that are made concurrently
		t.Errorf("%d HEAD requests, and %q; want %d, and the first look at the registry", heads, others, manyImages)
	}
}

// BenchmarkLookForManyImages looks for 500 images, which are there, like a new process. The bar
// is 2 seconds.
func BenchmarkLookForManyImages(b *testing.B) {
	s, err := serve.Start(b.Context(), serve.Options{Dir: b.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r, err := New(Options{Prefix: s.Addr})
	if err != nil {
		b.Fatal(err)
	}
	rt, p := many(b, r)
	for b.Loop() {
		// As a new process, which has no connections and no credentials yet.
		if rt.Registry, err = New(Options{Prefix: s.Addr}); err != nil {
			b.Fatal(err)
		}
		look(b, rt, p)
	}
}
