package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// withChart adds a service whose chart names images, which exist upstream.
func withChart(w *runtimetest.World, p *plan.Plan, stage int, name string, images ...string) *plan.Service {
	s := service(p, stage, name, plan.ImageSource{})
	var list []any
	for _, ref := range images {
		list = append(list, ref)
		if ref != "" && !strings.HasPrefix(ref, "missing") {
			w.Registry.Upstream(ref, plan.DigestOf([]byte(ref)))
		}
	}
	s.Type, s.Chart, s.MirrorImages = plan.Helm, &plan.Chart{Ref: "charts/" + name}, true
	s.Values = plan.Values{runtimetest.ImagesValue: list}
	return s
}

// mirrorOf is the reference by which an image of withChart is deployed.
func mirrorOf(ref string) string {
	return runtime.ByDigest("registry.test/mirror/"+ref, plan.DigestOf([]byte(ref)))
}

// TestChartImages: the images that a chart names are copied and deployed by digest, recorded
// and rolled back (I3).
func TestChartImages(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withChart(w, p, 1, "web", "nginx:1", "busybox", "nginx:1")
	steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	must(t, err)
	want := []runtime.Step{{
		Stage: "1", Service: "web", Do: "deploying", Why: "nginx:1, busybox are not in the registry; not deployed yet",
		ChartImages: []runtime.StepImage{
			{Name: "nginx:1", Image: "mirror", Ref: mirrorOf("nginx:1")},
			{Name: "busybox", Image: "mirror", Ref: mirrorOf("busybox")},
		},
	}}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("preview (-want +got):\n%s", diff)
	}
	if w.Count("Registry.Mirror") > 0 {
		t.Error("the preview has copied an image")
	}
	var stated []runtime.State
	first, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
		if s, ok := e.Body.(runtime.StateChanged); ok {
			stated = append(stated, s.State)
		}
	}})
	must(t, err)
	if want := []runtime.State{"building", "built", "deploying", "done"}; !slices.Equal(stated, want) {
		t.Errorf("states %v, want %v", stated, want)
	}
	mirrored := map[string]string{"nginx:1": mirrorOf("nginx:1"), "busybox": mirrorOf("busybox")}
	if diff := cmp.Diff(mirrored, w.Deployer.Releases("shop-staging")["web"].Mirrored); diff != "" {
		t.Errorf("deployed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(mirrored, first.Services[0].Mirrored); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}

	copies := w.Count("Registry.Mirror")
	if again, err := run(t, w, runtime.Request{Plan: p}); err != nil || again.Services[0].State != runtime.Unchanged || w.Count("Registry.Mirror") > copies {
		t.Errorf("a second run: %+v, %v", again, err)
	}
	// A tag that has moved upstream is a change.
	w.Registry.Upstream("busybox", plan.DigestOf([]byte("moved")))
	if moved, err := run(t, w, runtime.Request{Plan: p}); err != nil || moved.Services[0].State != runtime.Done || w.Count("Registry.Mirror") != copies+1 {
		t.Errorf("after a tag has moved: %+v, %v", moved, err)
	}
	_, err = run(t, w, runtime.Request{RollbackTo: first.ID})
	must(t, err)
	if diff := cmp.Diff(mirrored, w.Deployer.Releases("shop-staging")["web"].Mirrored); diff != "" || w.Count("Registry.Mirror") != copies+1 {
		t.Errorf("after a rollback (-want +got):\n%s", diff)
	}
}

// TestChartImagesKept: the images of a chart that are kept are neither asked for nor
// copied. When they are mirrored later, that is a change of the service.
func TestChartImagesKept(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withChart(w, p, 1, "web", "nginx:1").MirrorImages = false
	_, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	if w.Count("Deployer.Images")+w.Count("Registry.Mirrored") > 0 || w.Deployer.Releases("shop-staging")["web"].Mirrored != nil {
		t.Error("images that are kept were looked up")
	}
	p = again(p)
	p.Services[0].MirrorImages = true
	record, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	if record.Services[0].State != runtime.Done || record.Services[0].Mirrored["nginx:1"] != mirrorOf("nginx:1") {
		t.Errorf("mirrored later: %+v", record.Services[0])
	}
}

// TestNoChartImages: a chart that names no image is deployed as one whose images are kept.
func TestNoChartImages(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withChart(w, p, 1, "crds")
	_, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	p = again(p)
	p.Services[0].MirrorImages = false
	if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || record.Services[0].State != runtime.Unchanged {
		t.Errorf("%+v, %v", record, err)
	}
}

// TestManyChartImages: the images of charts are copied with the slots of all images (A1), each
// once though several services need it, in the stage that first needs it.
func TestManyChartImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, _ string) time.Duration {
			if op == "Registry.Mirror" {
				return time.Minute
			}
			return 0
		}
		var images []string
		for i := range 40 {
			images = append(images, fmt.Sprintf("image-%d:1", i))
		}
		p := pipeline(2)
		withChart(w, p, 1, "one", images...)
		withChart(w, p, 1, "two", images[20:]...)
		service(p, 2, "three", plan.ImageSource{Mirror: images[3]})
		withChart(w, p, 2, "four", append(slices.Clone(images[:3]), "another:1")...)
		begun := time.Now()
		record, err := run(t, w, runtime.Request{Plan: p})
		must(t, err)
		if n := w.Count("Registry.Mirror push"); n != 41 {
			t.Errorf("%d images were copied, want 41", n)
		}
		if took := time.Since(begun); took != 7*time.Minute { // 40 images in 7 slots, and one more
			t.Errorf("it took %s, want 7 minutes", took)
		}
		if len(record.Services[0].Mirrored) != 40 || len(record.Services[1].Mirrored) != 20 || len(record.Services[3].Mirrored) != 4 {
			t.Errorf("%+v", record.Services)
		}
	})
}

// TestChartImageMissing: an image that cannot be copied is found before anything is
// deployed, and the error names the chart, the object and the container, and what to do.
func TestChartImageMissing(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *runtimetest.World, s *plan.Service)
		err    error
	}{
		{"not found", func(_ *runtimetest.World, s *plan.Service) {
			s.Values[runtimetest.ImagesValue] = []any{"nginx:1", "missing:1", "missing:1"}
		}, runtime.ErrNotFound},
		{"empty", func(_ *runtimetest.World, s *plan.Service) {
			s.Values[runtimetest.ImagesValue] = []any{"nginx:1", "", ""}
		}, nil},
		{"refused", func(w *runtimetest.World, s *plan.Service) {
			s.Values[runtimetest.ImagesValue] = []any{"nginx:1", "private:1", "private:1"}
			w.Hook = func(_ context.Context, c runtimetest.Call) error {
				if c.Op == "Registry.Mirrored" && c.Subject == "private:1" {
					return fmt.Errorf("log in: %w", runtime.ErrNoAccess)
				}
				return nil
			}
		}, runtime.ErrNoAccess},
		{"unreachable", func(w *runtimetest.World, s *plan.Service) {
			s.Values[runtimetest.ImagesValue] = []any{"nginx:1", "away:1", "away:1"}
			w.Hook = func(_ context.Context, c runtimetest.Call) error {
				if c.Op == "Registry.Mirrored" && c.Subject == "away:1" {
					return runtime.Advise(runtime.ErrUnreachable, runtime.Advice{Do: "run again"})
				}
				return nil
			}
		}, runtime.ErrUnreachable},
		{"copy", func(w *runtimetest.World, s *plan.Service) {
			s.Values[runtimetest.ImagesValue] = []any{"nginx:1", "large:1", "large:1"}
			w.Registry.Upstream("large:1", plan.DigestOf([]byte("large")))
			w.Hook = func(_ context.Context, c runtimetest.Call) error {
				if c.Op == "Registry.Mirror" && c.Subject == "large:1" {
					return fmt.Errorf("too large: %w", runtime.ErrNoAccess)
				}
				return nil
			}
		}, runtime.ErrNoAccess},
	} {
		for _, manifests := range []bool{false, true} {
			w := runtimetest.NewWorld()
			p := pipeline(2)
			s := withChart(w, p, 2, "web", "nginx:1")
			if manifests {
				s.Chart = nil
			}
			app(p, 1, "api")
			test.change(w, s)
			record, err := run(t, w, runtime.Request{Plan: p})
			failed := record.Services[slices.IndexFunc(record.Services, func(s runtime.ServiceRecord) bool { return s.Service == "web" })]
			if err == nil || failed.Err == nil || test.err != nil && !errors.Is(failed.Err, test.err) {
				t.Errorf("%s: %v, %v", test.name, states(record), err)
				continue
			}
			advice, _ := runtime.AdviceOf(failed.Err)
			of := "chart charts/web"
			if manifests {
				of = "manifests"
			}
			if !strings.HasPrefix(failed.Error, of+": statefulset web, container 1, and 1 more: ") || !strings.Contains(advice.Do, `images = "keep"`) {
				t.Errorf("%s: %q; %q", test.name, failed.Error, advice.Do)
			}
			if deployed := w.Deployer.Releases("shop-staging"); test.name != "copy" && len(deployed) > 0 {
				t.Errorf("%s: deployed %v", test.name, deployed)
			}
			if deployed := w.Deployer.Releases("shop-staging"); deployed["web"].Revision > 0 {
				t.Errorf("%s: the service was deployed", test.name)
			}
		}
	}
}

// TestChartImagesInterrupted: a run that is interrupted while it copies deploys nothing, and
// the next one does what is left.
func TestChartImagesInterrupted(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withChart(w, p, 1, "web", "nginx:1", "busybox:1")
	ctx, cancel := context.WithCancelCause(t.Context())
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Registry.Mirror" && c.Subject == "busybox:1" {
			cancel(errors.New("interrupted"))
			return context.Canceled
		}
		return nil
	}
	record, err := w.Runtime().Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, By: "test"})
	if err == nil || record.Services[0].State != runtime.Cancelled || len(w.Deployer.Releases("shop-staging")) > 0 {
		t.Errorf("%+v, %v", record, err)
	}
	w.Hook = nil
	if record, err := run(t, w, runtime.Request{Plan: p}); err != nil || record.Services[0].State != runtime.Done {
		t.Errorf("the next run: %+v, %v", record, err)
	}
}

// TestChartImagesOfValues: an image of another service in the values of a chart stays as it
// is, also before it is built, and the other images of the chart are copied meanwhile.
func TestChartImagesOfValues(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	p.Builds = append(p.Builds, plan.BuildSpec{ID: "plugin", Source: plan.Source{Path: "plugin"}, Context: ".", Dockerfile: "Dockerfile"})
	s := withChart(w, p, 1, "web", "nginx:1")
	s.Images = []plan.NamedImage{{Name: "plugin", ImageSource: plan.ImageSource{Build: "plugin"}}}
	s.Filled = []plan.Filled{{Path: []string{"image"}, Image: "plugin"}}
	var mu sync.Mutex
	var calls []string
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c.Op+" "+c.Subject)
		return nil
	}
	record, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	is := w.Deployer.Releases("shop-staging")["web"]
	if want := map[string]string{"nginx:1": mirrorOf("nginx:1")}; record.Services[0].State != runtime.Done || !cmp.Equal(is.Mirrored, want) || is.Images["plugin"] == "" {
		t.Errorf("deployed %v and %v", is.Images, is.Mirrored)
	}
	slices.Reverse(calls) // the chart is rendered again when the image is built
	if slices.Index(calls, "Registry.Mirror nginx:1") < slices.Index(calls, "Deployer.Images web") {
		t.Errorf("the other image was not copied before: %q", calls)
	}
	if again, err := run(t, w, runtime.Request{Plan: p}); err != nil || again.Services[0].State != runtime.Unchanged {
		t.Errorf("a second run: %+v, %v", again, err)
	}
}

// TestReleaseHas: an image of a release is found however a chart writes its reference.
func TestReleaseHas(t *testing.T) {
	r := runtime.Release{Image: "r.example.com:5000/own@sha256:1", Images: map[string]string{"a": "r/a@sha256:2", "b": "nginx:1"}}
	for ref, want := range map[string]bool{
		"": false, "r.example.com:5000/own@sha256:1": true, "r.example.com:5000/own:v1@sha256:1": true, "r.example.com:5000/own:v1": false, "r.example.com:5000/own": false,
		"r/a@sha256:2": true, "r/a:1@sha256:1": false, "nginx:1": true, "nginx:1@sha256:2": false, "nginx": false, "@": false,
	} {
		if r.Has(ref) != want {
			t.Errorf("Has(%q) = %v", ref, !want)
		}
	}
	if (runtime.Release{}).Has("") {
		t.Error("an empty release has an empty image")
	}
}

// TestChartImagesLate: the images of a chart that cannot be rendered before a Secret exists
// are copied when it does.
func TestChartImagesLate(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(2)
	service(p, 1, "maker", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.SecretChart}
	s := withChart(w, p, 2, "web", "nginx:1", "busybox:1")
	s.Filled = []plan.Filled{{Path: []string{"password"}, Secret: &plan.SecretRef{Name: "maker", Key: "value"}}}
	asked := 0
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Images" {
			if asked++; asked == 1 {
				return errors.New("the chart needs a password")
			}
		}
		return nil
	}
	record, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	if got := w.Deployer.Releases("shop-staging")["web"].Mirrored; len(got) != 2 || record.Services[1].State != runtime.Done {
		t.Errorf("deployed %v: %+v", got, record.Services[1])
	}
	if again, err := run(t, w, runtime.Request{Plan: p}); err != nil || again.Services[1].State != runtime.Unchanged {
		t.Errorf("a second run: %+v, %v", again, err)
	}

	// One that cannot be copied then is an error as one that is found before.
	w = runtimetest.NewWorld()
	p = again(p)
	p.Service("web").Values = plan.Values{runtimetest.ImagesValue: []any{"missing:1"}}
	asked = 0
	record, err = run(t, w, runtime.Request{Plan: p})
	if err == nil || !errors.Is(record.Services[1].Err, runtime.ErrNotFound) || !strings.HasPrefix(record.Services[1].Error, "chart charts/web: statefulset web, container 0: ") {
		t.Errorf("%+v, %v", record.Services[1], err)
	}
}

// TestChartImagesFoundByDeploy: images that a chart names only when it is deployed are copied
// then, are recorded, and the next run finds nothing to do. If they cannot be copied, nothing of
// the release is written.
func TestChartImagesFoundByDeploy(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	s := withChart(w, p, 1, "web", "nginx:1")
	s.Values[runtimetest.LateImagesValue] = []any{"missing:1", "late:1", "missing:2"}
	w.Registry.Upstream("late:1", plan.DigestOf([]byte("late:1")))
	record, err := run(t, w, runtime.Request{Plan: p})
	var images *runtime.ImagesError
	if err == nil || !errors.As(record.Services[0].Err, &images) || len(images.Images) != 2 || len(w.Deployer.Releases("shop-staging")) > 0 {
		t.Fatalf("%+v, %v", record.Services, err)
	}
	if causes := runtime.Causes(record.Services); len(causes) != 2 || !strings.HasPrefix(causes[1].Text, "chart charts/web: statefulset web, container 3: ") {
		t.Errorf("causes %+v", causes)
	}

	p = again(p)
	p.Services[0].Values[runtimetest.LateImagesValue] = []any{"late:1", "later:1", "nginx:1"}
	w.Registry.Upstream("later:1", plan.DigestOf([]byte("later:1")))
	var stated []string
	record, err = run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
		if s, ok := e.Body.(runtime.StateChanged); ok {
			stated = append(stated, string(s.State)+" "+s.Reason)
		}
	}})
	must(t, err)
	if want := []string{"deploying not deployed yet", "building later:1 is not in the registry", "deploying not deployed yet", "done not deployed yet"}; !slices.Equal(stated, want) {
		t.Errorf("states %q, want %q", stated, want)
	}
	want := map[string]string{"nginx:1": mirrorOf("nginx:1"), "late:1": mirrorOf("late:1"), "later:1": mirrorOf("later:1")}
	if diff := cmp.Diff(want, w.Deployer.Releases("shop-staging")["web"].Mirrored) + cmp.Diff(want, record.Services[0].Mirrored); diff != "" {
		t.Errorf("deployed and recorded (-want +got):\n%s", diff)
	}
	copies := w.Count("Registry.Mirror")
	if again, err := run(t, w, runtime.Request{Plan: p}); err != nil || again.Services[0].State != runtime.Unchanged || w.Count("Registry.Mirror") > copies {
		t.Errorf("a second run: %+v, %v", again, err)
	}
}
