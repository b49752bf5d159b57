package runtime_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// unchanged returns a world in which 500 services are deployed, and their plan.
func unchanged(tb testing.TB) (*runtimetest.World, *plan.Plan) {
	w := runtimetest.NewWorld()
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
	p := pipeline(4)
	for i := range 500 {
		if i%2 == 0 {
			app(p, 1+i/125, fmt.Sprintf("a%03d", i))
		} else {
			service(p, 1+i/125, fmt.Sprintf("a%03d", i), plan.ImageSource{Mirror: "redis:7"})
		}
	}
	if _, err := w.Runtime().Run(tb.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p}); err != nil {
		tb.Fatal(err)
	}
	return w, p
}

// TestRequestsOfNothing: how often a run in which nothing has changed asks the
// cluster does not depend on how many services there are, and it asks the
// registry once for each image.
func TestRequestsOfNothing(t *testing.T) {
	w, p := unchanged(t)
	before := len(w.Calls())
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, c := range w.Calls()[before:] {
		part, _, _ := strings.Cut(c.Op, ".")
		if c.Op == "Deployer.Fingerprint" {
			part = "rendered"
		}
		count[part]++
	}
	want := map[string]int{
		"Locker": 1, "Lease": 1,
		"Store":    6, // who owns the namespace, the environment twice, the record twice, and those whose time is over
		"Deployer": 2, // Prepare and Deployed
		"Builder":  250, "Registry": 251,
		"rendered": 500,
	}
	for part, n := range want {
		if count[part] != n {
			t.Errorf("%d calls of %s, want %d", count[part], part, n)
		}
	}
}

// BenchmarkUnchanged is what pipe itself adds to a run of 500 services in which
// nothing has changed.
func BenchmarkUnchanged(b *testing.B) {
	w, p := unchanged(b)
	for b.Loop() {
		events := 0
		record, err := w.Runtime().Run(b.Context(), runtime.Request{
			Action: runtime.Deploy, Environment: staging, Plan: p, Events: func(runtime.Event) { events++ },
		})
		if err != nil || record.Services[0].State != runtime.Unchanged || events < 500 {
			b.Fatalf("%d events, %v", events, err)
		}
	}
}
