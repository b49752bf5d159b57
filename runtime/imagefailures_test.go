package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestImagesMissing: all images of all services that cannot be deployed are reported by one
// run, once for each cause, with the images and the services that have it.
func TestImagesMissing(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	withChart(w, p, 1, "web", "missing:1", "nginx:1", "missing:2", "away:1", "missing:1", "")
	withChart(w, p, 1, "admin", "missing:2", "away:2").Chart = nil
	withChart(w, p, 1, "fine", "nginx:1")
	service(p, 1, "cache", plan.ImageSource{Mirror: "missing:3"})
	absent := &runtime.CommonError{Text: "not found in registry r: check the name and the tag", Err: runtime.ErrNotFound}
	away := &runtime.CommonError{Text: "registry s cannot be reached", Err: runtime.Advise(runtime.ErrUnreachable, runtime.Advice{Do: "run again when it can be reached"})}
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		switch {
		case c.Op != "Registry.Mirrored":
		case strings.HasPrefix(c.Subject, "missing"):
			return fmt.Errorf("image %s: %w", c.Subject, absent)
		case strings.HasPrefix(c.Subject, "away"):
			return fmt.Errorf("image %s: %w", c.Subject, runtime.Advise(away, runtime.Advice{Do: "correct image="}))
		}
		return nil
	}
	record, err := run(t, w, runtime.Request{Plan: p})
	var failed *runtime.RunError
	if !errors.As(err, &failed) || len(failed.Failed) != 3 || len(w.Deployer.Releases("shop-staging")) > 0 {
		t.Fatalf("%v, %v", states(record), err)
	}
	type cause struct {
		Text     string
		Services []string
		Images   []string
	}
	causes := func(failed []runtime.ServiceRecord) (out []cause) {
		for _, c := range runtime.Causes(failed) {
			of := cause{Text: c.Text, Images: c.Images}
			for _, f := range c.Failed {
				of.Services = append(of.Services, f.Service)
			}
			out = append(out, of)
		}
		return out
	}
	want := []cause{
		{absent.Text, []string{"web", "admin", "cache"}, []string{
			"missing:1: web (chart charts/web: statefulset web, container 0, and 1 more)",
			"missing:2: web (chart charts/web: statefulset web, container 2), admin (manifests: statefulset admin, container 0)",
			"missing:3: cache",
		}},
		{away.Text, []string{"web", "admin"}, []string{
			"away:1: web (chart charts/web: statefulset web, container 3)", "away:2: admin (manifests: statefulset admin, container 1)",
		}},
		{"chart charts/web: statefulset web, container 5: it names no image", []string{"web"}, nil},
	}
	if diff := cmp.Diff(want, causes(failed.Failed)); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
	if advice, _ := runtime.AdviceOf(runtime.Causes(failed.Failed)[1].Failed[0].Err); !strings.HasPrefix(advice.Do, `run again when it can be reached, or write images = "keep"`) {
		t.Errorf("advice %q", advice.Do)
	}
	of := "missing:1 (chart charts/web: statefulset web, container 0, and 1 more), missing:2 (chart charts/web: statefulset web, container 2)"
	if text := failed.Failed[0].Error; !strings.HasPrefix(text, absent.Text+": "+of+"; chart charts/web: statefulset web, container 3: look for image away:1: ") ||
		!strings.HasSuffix(text, "; chart charts/web: statefulset web, container 5: it names no image") {
		t.Errorf("the error of web is %q", text)
	}
	if text := failed.Failed[2].Error; text != "look for image missing:3: image missing:3: "+absent.Text {
		t.Errorf("the error of cache is %q", text)
	}

	// Images of one service with one cause, and one image of several services.
	one := causes(failed.Failed[1:2])
	if len(one) != 2 || one[0].Images != nil || !strings.HasPrefix(one[0].Text, "manifests: statefulset admin, container 0: look for image missing:2: ") {
		t.Errorf("causes of admin %+v", one)
	}
	same := &runtime.RunError{Failed: []runtime.ServiceRecord{
		{Service: "a", Err: &runtime.ImagesError{Images: []runtime.ImageFailure{{Ref: "x:1", Err: absent}}}},
		{Service: "b", Err: &runtime.ImagesError{Images: []runtime.ImageFailure{{Ref: "x:1", In: "chart b: pod b", Err: absent}}}},
	}}
	if text, want := same.Error(), "2 services failed for the same reason: a, b: "+absent.Text+"; x:1: a, b (chart b: pod b)"; text != want {
		t.Errorf("%q, want %q", text, want)
	}

	// A preview finds the same.
	_, err = w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	if !errors.As(err, &failed) || cmp.Diff(want, causes(failed.Failed)) != "" {
		t.Errorf("preview: %v", err)
	}
}

func ExampleImagesError() {
	absent := &runtime.CommonError{Text: "not found in registry r.example.com", Err: runtime.ErrNotFound}
	err := &runtime.ImagesError{Images: []runtime.ImageFailure{
		{Ref: "r.example.com/a:1", In: "chart web: deployment web, container main", Err: absent},
		{Ref: "r.example.com/b:1", In: "chart web: job migrate, container main", Err: absent},
	}}
	fmt.Println(err)
	fmt.Println(errors.Is(err, runtime.ErrNotFound))
	// Output:
	// not found in registry r.example.com: r.example.com/a:1 (chart web: deployment web, container main), r.example.com/b:1 (chart web: job migrate, container main)
	// true
}
