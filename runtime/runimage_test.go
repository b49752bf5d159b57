package runtime_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// packed is a plan of services whose images buildpacks make, without a run image.
func packed(names ...string) *plan.Plan {
	p := pipeline(1)
	for _, name := range names {
		app(p, 1, name)
		b := p.Build(name)
		b.Dockerfile, b.Buildpack = "", &plan.Buildpack{}
		b.ImageArgs = map[string]plan.ImageSource{plan.BuildpackBuilder: {Mirror: "builder:1"}}
	}
	return p
}

// withBuilder sets the builder image, and the run images that it names.
func withBuilder(w *runtimetest.World, content string, names ...string) {
	digest := plan.DigestOf([]byte(content))
	w.Registry.Upstream("builder:1", digest)
	w.Builder.SetRunImages(digest, names...)
}

// TestRunImage: the run image that a builder names is found when the builder is, is copied once before the
// images that are made with it, and is part of their identity by its digest.
func TestRunImage(t *testing.T) {
	w := runtimetest.NewWorld()
	p := packed("web", "api")
	withBuilder(w, "first", "run:1")
	w.Registry.Upstream("run:1", plan.DigestOf([]byte("run")))
	steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	if err != nil || steps[0].RunImage != "run:1" || !strings.Contains(steps[0].Why, "run_image=: run:1: run:1 is not in the registry") {
		t.Errorf("preview: %+v, %v", steps, err)
	}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, c := range w.Calls() {
		if c.Op == "Registry.Mirror" || c.Op == "Builder.Build" {
			order = append(order, c.Op)
		}
	}
	if !slices.Equal(order, []string{"Registry.Mirror", "Registry.Mirror", "Builder.Build", "Builder.Build"}) {
		t.Errorf("the run does %v", order)
	}
	n := len(w.Calls())
	if again, err := run(t, w, runtime.Request{Plan: p}); err != nil || states(again)["web"] != runtime.Unchanged || len(builds(w, n)) > 0 {
		t.Errorf("a second run: %v, %v, built %v", states(again), err, builds(w, n))
	}
	specs, err := w.Runtime().BuildSpecs(t.Context(), runtime.Request{Environment: staging, Plan: p}, "web")
	if err != nil || specs[""].ImageArgs[plan.BuildpackRun].Mirror != "run:1" || specs[""].Bases[plan.BuildpackRun].Identity != plan.DigestOf([]byte("run")) {
		t.Errorf("the specification is %+v, %v", specs[""], err)
	}
	if args := p.Build("web").ImageArgs; len(args) != 1 {
		t.Errorf("the plan has %v now", args)
	}

	w.Registry.Upstream("run:1", plan.DigestOf([]byte("newer")))
	n = len(w.Calls())
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil || len(builds(w, n)) != 2 {
		t.Errorf("after the tag has moved: %v, built %v", err, builds(w, n))
	}
	// The image in another registry is used if the preferred one cannot be looked up.
	withBuilder(w, "second", "gone:1", "mirror/run:1")
	w.Registry.Upstream("mirror/run:1", plan.DigestOf([]byte("newer")))
	steps, err = w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	if err != nil || steps[0].RunImage != "mirror/run:1" {
		t.Errorf("preview with a mirror: %+v, %v", steps, err)
	}
}

// TestRunImageFails: nothing is built if the run image is not known, and the error says what to do.
func TestRunImageFails(t *testing.T) {
	for what, test := range map[string]struct {
		names      []string
		want, next string
	}{
		"none is named":    {nil, "names no run image", ""},
		"none can be read": {[]string{"gone:1", "gone:2"}, "look for the run image that the builder builder:1 names: image gone:1: not found; image gone:2: not found", "with run_image= of buildpack()"},
	} {
		t.Run(what, func(t *testing.T) {
			w := runtimetest.NewWorld()
			withBuilder(w, "first", test.names...)
			_, err := run(t, w, runtime.Request{Plan: packed("web")})
			if err == nil || !strings.Contains(err.Error(), test.want) || len(builds(w, 0)) > 0 {
				t.Errorf("%v, built %v", err, builds(w, 0))
			}
			if advice, _ := runtime.AdviceOf(err); !strings.Contains(advice.Do, test.next) {
				t.Errorf("the advice is %q", advice.Do)
			}
		})
	}
	w, p := runtimetest.NewWorld(), packed("web") // without the builder image
	p.Build("web").Pos = plan.Pos{File: "Pipelinefile", Line: 3, Col: 7}
	_, err := run(t, w, runtime.Request{Plan: p})
	if want := "Pipelinefile:3:7: builder=: look for image builder:1: image builder:1: not found"; !errors.Is(err, runtime.ErrNotFound) || !strings.Contains(err.Error(), want) || w.Count("Builder.RunImages") > 0 {
		t.Errorf("without a builder: %v, want %q", err, want)
	}
	withBuilder(w, "first")
	p.Build("web").ImageArgs[plan.BuildpackRun] = plan.ImageSource{Mirror: "run:1"}
	if _, err := run(t, w, runtime.Request{Plan: p}); err == nil || !strings.Contains(err.Error(), "Pipelinefile:3:7: run_image=: look for image run:1: ") {
		t.Errorf("without a run image: %v", err)
	}
}
