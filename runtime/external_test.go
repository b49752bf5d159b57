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

// TestExternalImages: of an image that is deployed from where it is, by digest, no
// registry is asked; by tag one is, and if it does not answer, or wants credentials
// that pipe does not have, the tag is deployed, which is told once for each cause.
// What does not exist is an error.
func TestExternalImages(t *testing.T) {
	digest := plan.DigestOf([]byte("one"))
	away := &runtime.CommonError{Text: "registry inside:5000 cannot be reached", Err: runtime.ErrUnreachable}
	answers := map[string]error{
		"inside:5000/a:1":  fmt.Errorf("image inside:5000/a:1: %w", away),
		"inside:5000/b:1":  fmt.Errorf("image inside:5000/b:1: %w", away),
		"private/c:1":      fmt.Errorf("image private/c:1: %w, or it is private: %w", runtime.ErrNotFound, runtime.ErrNoAccess),
		"elsewhere/none:1": fmt.Errorf("image elsewhere/none:1: %w", runtime.ErrNotFound),
	}
	w := runtimetest.NewWorld()
	// The cluster reaches them all.
	for _, ref := range []string{"inside:5000/a:1", "inside:5000/b:1", "private/c:1", "public/d:1", "inside:5000/e:1"} {
		w.Registry.Upstream(ref, digest)
	}
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Registry.Resolve" && strings.Contains(c.Subject, "@") {
			t.Errorf("asked for %s", c.Subject)
		}
		if c.Op == "Registry.Resolve" {
			return answers[c.Subject]
		}
		return nil
	}
	p := pipeline(1)
	for name, ref := range map[string]string{
		"a": "inside:5000/a:1", "b": "inside:5000/b:1", "c": "private/c:1", "d": "public/d:1", "e": "inside:5000/e@" + string(digest),
	} {
		service(p, 1, name, plan.ImageSource{Ref: ref})
	}
	var warned []string
	record, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
		if e, ok := e.Body.(runtime.Warned); ok {
			warned = append(warned, e.Diagnostic.Message)
		}
	}})
	must(t, err)
	got := make(map[string]string)
	for _, s := range record.Services {
		got[s.Service] = s.Image
	}
	want := map[string]string{
		"a": "inside:5000/a:1", "b": "inside:5000/b:1", "c": "private/c:1",
		"d": "public/d@" + string(digest), "e": "inside:5000/e@" + string(digest),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if len(warned) != 2 {
		t.Errorf("warnings: %q", warned)
	}
	for _, part := range []string{
		"are deployed by their tags, which may move without notice: registry inside:5000 cannot be reached",
		"c is deployed by its tag, which may move without notice: image private/c:1: not found, or it is private",
	} {
		if !strings.Contains(strings.Join(warned, "\n"), part) {
			t.Errorf("%q is not in %q", part, warned)
		}
	}
	steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
	must(t, err)
	n := 0
	for _, s := range steps {
		n += len(s.Warnings)
	}
	if n != 2 {
		t.Errorf("the preview has %d warnings, want 2", n)
	}

	answers["private/c:1"] = errors.New("answers 500")
	if _, err := run(t, w, runtime.Request{Plan: p}); err == nil || !strings.Contains(err.Error(), "look for image private/c:1: answers 500") {
		t.Errorf("Run with a registry that fails = %v", err)
	}
	answers["private/c:1"] = nil
	service(p, 1, "none", plan.ImageSource{Ref: "elsewhere/none:1"})
	if _, err := run(t, w, runtime.Request{Plan: p}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Run of an image that does not exist = %v", err)
	}
}

// TestForeseenStages: what would fail in a later stage than the first that fails is
// cancelled, with the reason for which it would fail (A3).
func TestForeseenStages(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
	p := pipeline(3)
	for name, stage := range map[string]int{"zero": 1, "one": 2, "two": 3} {
		service(p, stage, name, plan.ImageSource{Mirror: map[string]string{"zero": "redis:7"}[name] + map[string]string{"one": "none:1", "two": "none:2"}[name]})
	}
	record, err := run(t, w, runtime.Request{Plan: p})
	var failed *runtime.RunError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Service != "one" {
		t.Errorf("Run = %v, want service one failed", err)
	}
	for _, s := range record.Services {
		want := map[string]runtime.State{"zero": runtime.Cancelled, "one": runtime.Failed, "two": runtime.Cancelled}[s.Service]
		if s.State != want {
			t.Errorf("%s is %s, want %s", s.Service, s.State, want)
		}
		if s.Service == "two" && !strings.HasPrefix(s.Reason, "it would fail: look for image none:2: ") {
			t.Errorf("two: %s", s.Reason)
		}
	}
}

func ExampleCauses() {
	away := &runtime.CommonError{Text: "registry r.example.com cannot be reached"}
	failed := []runtime.ServiceRecord{
		{Service: "api", Error: "copy image r.example.com/a: " + away.Text, Err: away},
		{Service: "db", Error: "the volume is full", Err: errors.New("the volume is full")},
		{Service: "web", Error: "copy image r.example.com/b: " + away.Text, Err: away},
	}
	for _, c := range runtime.Causes(failed) {
		fmt.Println(len(c.Failed), c.Text)
	}
	fmt.Println(&runtime.RunError{Failed: []runtime.ServiceRecord{failed[0], failed[2]}})
	// Output:
	// 2 registry r.example.com cannot be reached
	// 1 the volume is full
	// 2 services failed for the same reason: api, web: registry r.example.com cannot be reached
}
