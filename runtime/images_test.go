package runtime_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// withImages adds images to a service that is built: one that is built, too, and one
// that is copied.
func withImages(w *runtimetest.World, p *plan.Plan, s *plan.Service) {
	id := plan.ImageKey(s.Name, "proxy")
	p.Builds = append(p.Builds, plan.BuildSpec{ID: id, Source: plan.Source{Path: id}, Context: ".", Dockerfile: "Dockerfile"})
	w.Registry.Upstream("fluent:1", plan.DigestOf([]byte("fluent")))
	s.Images = []plan.NamedImage{
		{Name: "proxy", ImageSource: plan.ImageSource{Build: id}},
		{Name: "logs", ImageSource: plan.ImageSource{Mirror: "fluent:1"}},
		{Name: "same", ImageSource: s.Image},
	}
}

// TestSeveralImages: the images that a service has besides its own are looked up, made,
// recorded and rolled back as its own is.
func TestSeveralImages(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withImages(w, p, app(p, 1, "web"))
	steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps[0].Images {
		steps[0].Images[i].Ref = ""
	}
	steps[0].Ref = ""
	want := []runtime.Step{{
		Stage: "1", Service: "web", Image: "build", Do: "deploying",
		Why:    "no image of this source in the registry; image proxy: no image of this source in the registry; image logs: fluent:1 is not in the registry; not deployed yet",
		Images: []runtime.StepImage{{Name: "proxy", Image: "build"}, {Name: "logs", Image: "mirror"}, {Name: "same"}},
	}}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("preview (-want +got):\n%s", diff)
	}

	var stated []runtime.State
	first, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
		if s, ok := e.Body.(runtime.StateChanged); ok {
			stated = append(stated, s.State)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []runtime.State{"building", "built", "deploying", "done"}; !slices.Equal(stated, want) {
		t.Errorf("states %v, want %v", stated, want)
	}
	was := w.Deployer.Releases("shop-staging")["web"]
	if len(was.Images) != 3 || was.Images["same"] != was.Image || was.Images["proxy"] == was.Image || was.Image == "" {
		t.Errorf("deployed with %q and %q", was.Image, was.Images)
	}
	if diff := cmp.Diff(was.Images, first.Services[0].Images); diff != "" {
		t.Errorf("recorded (-deployed +recorded):\n%s", diff)
	}
	env, err := w.Store.Environment(t.Context(), staging)
	if err != nil {
		t.Fatal(err)
	}
	if got := env.Images["web/proxy"]; got != was.Images["proxy"] || len(env.Images) != 4 {
		t.Errorf("the environment has the images %v", env.Images)
	}

	if again, err := run(t, w, runtime.Request{Plan: p}); err != nil || again.Services[0].State != runtime.Unchanged {
		t.Errorf("a second run: %v, %v", again, err)
	}
	// A change of an image is a change of the service.
	w.Builder.SetSource("web/proxy", "changed")
	builds := w.Count("Builder.Build")
	if second, err := run(t, w, runtime.Request{Plan: p}); err != nil || second.Services[0].State != runtime.Done {
		t.Errorf("after a change of one image: %v, %v", second, err)
	}
	is := w.Deployer.Releases("shop-staging")["web"]
	if is.Image != was.Image || is.Images["proxy"] == was.Images["proxy"] || is.Images["logs"] != was.Images["logs"] {
		t.Errorf("after a change of one image %q, %q are deployed, before %q, %q", is.Image, is.Images, was.Image, was.Images)
	}
	if n := w.Count("Builder.Build") - builds; n != 1 {
		t.Errorf("%d builds for one changed image", n)
	}
	// A rollback builds nothing.
	builds = w.Count("Builder.Build")
	if _, err := run(t, w, runtime.Request{RollbackTo: first.ID}); err != nil {
		t.Fatal(err)
	}
	back := w.Deployer.Releases("shop-staging")["web"]
	if diff := cmp.Diff(was.Images, back.Images); diff != "" || back.Image != was.Image {
		t.Errorf("after a rollback (-want +got):\n%s", diff)
	}
	if n := w.Count("Builder.Build") - builds; n != 0 {
		t.Errorf("a rollback builds %d images", n)
	}
}

// TestImageFails: a service is not deployed if one of its images cannot be made.
func TestImageFails(t *testing.T) {
	for _, keepGoing := range []bool{false, true} {
		w := runtimetest.NewWorld()
		p := pipeline(1)
		w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
		withImages(w, p, app(p, 1, "web"))
		service(p, 1, "other", plan.ImageSource{Mirror: "redis:7"})
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Builder.Build" && c.Subject == "web/proxy" {
				return errors.New("no space left")
			}
			return nil
		}
		record, err := run(t, w, runtime.Request{Plan: p, KeepGoing: keepGoing})
		if err == nil || states(record)["web"] != runtime.Failed || (states(record)["other"] == runtime.Done) != keepGoing {
			t.Errorf("keep going %v: %v, %v", keepGoing, states(record), err)
		}
		if w.Count("Deployer.Deploy") > 1 {
			t.Errorf("keep going %v: the service was deployed", keepGoing)
		}
	}
}

// TestImagesOfBranch: a preview asks for the branch of every image.
func TestImagesOfBranch(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withImages(w, p, app(p, 1, "web"))
	p.Builds[1].Source = plan.Source{Git: "https://example.org/proxy", Ref: "main"}
	w.Builder.SetBranch("https://example.org/proxy", "topic")
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	was := w.Deployer.Releases("shop-staging")["web"].Images
	key := runtime.EnvironmentKey{Pipeline: "shop", Name: "topic"}
	if _, err := w.Runtime().Clone(t.Context(), runtime.CloneRequest{Source: staging, Name: "topic", Branch: "topic"}); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, w, runtime.Request{Environment: key}); err != nil {
		t.Fatal(err)
	}
	is := w.Deployer.Releases(key.Namespace())["web"].Images
	if is["proxy"] == was["proxy"] || is["logs"] != was["logs"] {
		t.Errorf("the preview has %q, its source %q", is, was)
	}
}

// TestCheckSeveralImages: what changes is checked with the images that are deployed
// before the new ones are built.
func TestCheckSeveralImages(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withImages(w, p, app(p, 1, "web"))
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	w.Builder.SetSource("web/proxy", "changed")
	p.Services[0].Values = plan.Values{runtimetest.RefusedValue: true}
	builds := w.Count("Builder.Build")
	record, err := run(t, w, runtime.Request{Plan: p})
	var refused *runtime.RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("%v, %v", states(record), err)
	}
	if n := w.Count("Deployer.Deploy"); n != 1 {
		t.Errorf("%d deploys, %d builds", n, w.Count("Builder.Build")-builds)
	}
}
