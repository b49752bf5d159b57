package runtime_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// withBase is a plan of web, in stage 1, whose image is built from that of base, which is
// in stage 2.
func withBase() *plan.Plan {
	p := pipeline(2)
	app(p, 1, "web")
	app(p, 2, "base")
	slices.Reverse(p.Builds)
	p.Build("web").ImageArgs = map[string]plan.ImageSource{"BASE": {Build: "base"}}
	return p
}

// builds returns the IDs that were built, in order, since the call with that number.
func builds(w *runtimetest.World, since int) []string {
	var ids []string
	for _, c := range w.Calls()[since:] {
		if c.Op == "Builder.Build" {
			ids = append(ids, c.Subject)
		}
	}
	return ids
}

// TestBases: an image that is an argument of a build is built before, also if its service
// is in a later stage. A change of it is a change of the build. What is built already
// needs no base.
func TestBases(t *testing.T) {
	w := runtimetest.NewWorld()
	p := withBase()
	steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	if err != nil || !strings.HasPrefix(steps[0].Why, "argument BASE: image of base: no image of this source in the registry; no image") {
		t.Errorf("preview: %+v, %v", steps, err)
	}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	if got := builds(w, 0); !slices.Equal(got, []string{"base", "web"}) {
		t.Errorf("built %v", got)
	}
	was := w.Deployer.Releases("shop-staging")["web"].Image
	n := len(w.Calls())
	if again, err := run(t, w, runtime.Request{Plan: p}); err != nil || states(again)["web"] != runtime.Unchanged || len(builds(w, n)) > 0 {
		t.Errorf("a second run: %v, %v, built %v", states(again), err, builds(w, n))
	}
	w.Builder.SetSource("base", "changed")
	n = len(w.Calls())
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil || !slices.Equal(builds(w, n), []string{"base", "web"}) {
		t.Errorf("after a change of the base: %v, built %v", err, builds(w, n))
	}
	if is := w.Deployer.Releases("shop-staging")["web"].Image; is == was {
		t.Errorf("after a change of the base %s is deployed as before", is)
	}
	w.Builder.SetSource("web", "changed")
	n = len(w.Calls())
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil || !slices.Equal(builds(w, n), []string{"web"}) {
		t.Errorf("after a change of web: %v, built %v", err, builds(w, n))
	}
	// The base of an image that exists is not made again, even if it is gone.
	p = withBase()
	p.Services = p.Services[:1]
	digest := plan.DigestOf([]byte("kept"))
	for _, s := range []string{w.Deployer.Releases("shop-staging")["web"].Image} {
		w.Registry.Forget()
		w.Registry.Push(s, digest)
	}
	n = len(w.Calls())
	if _, err := run(t, w, runtime.Request{Plan: p, Images: map[string]string{"web": w.Deployer.Releases("shop-staging")["web"].Image}}); err != nil || len(builds(w, n)) > 0 {
		t.Errorf("a given image: %v, built %v", err, builds(w, n))
	}
}

// TestBaseFails: what is built from an image that cannot be made is not built.
func TestBaseFails(t *testing.T) {
	w := runtimetest.NewWorld()
	p := withBase()
	p.Build("base").Dockerfile = runtimetest.BrokenDockerfile
	record, err := run(t, w, runtime.Request{Plan: p})
	if err == nil || states(record)["web"] != runtime.Failed || slices.Contains(builds(w, 0), "web") {
		t.Errorf("%v, %v, built %v", states(record), err, builds(w, 0))
	}
}

// TestBaseOfMirror: an argument can be an image that is copied; it is copied before.
func TestBaseOfMirror(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	app(p, 1, "web")
	w.Registry.Upstream("tools:1", plan.DigestOf([]byte("tools")))
	p.Build("web").ImageArgs = map[string]plan.ImageSource{"BASE": {Mirror: "tools:1"}}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, c := range w.Calls() {
		if c.Op == "Registry.Mirror" || c.Op == "Builder.Build" {
			order = append(order, c.Op)
		}
	}
	if !slices.Equal(order, []string{"Registry.Mirror", "Builder.Build"}) {
		t.Errorf("%v", order)
	}
	w.Registry.Upstream("tools:1", plan.DigestOf([]byte("newer")))
	n := len(w.Calls())
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil || !slices.Equal(builds(w, n), []string{"web"}) {
		t.Errorf("after the tag has moved: %v, built %v", err, builds(w, n))
	}
}

// TestBaseCycle: a plan whose builds need each other, which no Pipelinefile has, fails.
func TestBaseCycle(t *testing.T) {
	w := runtimetest.NewWorld()
	p := withBase()
	p.Build("base").ImageArgs = map[string]plan.ImageSource{"BASE": {Build: "web"}}
	if _, err := run(t, w, runtime.Request{Plan: p}); err == nil || !strings.Contains(err.Error(), "needs its own image: ") {
		t.Errorf("%v", err)
	}
}
