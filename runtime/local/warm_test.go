package local

import (
	"context"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A refs is a builder that counts how often a ref is looked up.
type refs struct {
	runtime.Builder
	asked map[string]int
}

func (b *refs) Commit(_ context.Context, git, ref string) (string, error) {
	b.asked[git+" "+ref]++
	return "commit of " + ref, nil
}

// TestWarmCommits: watch mode keeps the commits of git sources when a file has changed, and
// looks them up again when everything may have changed.
func TestWarmCommits(t *testing.T) {
	from := &refs{asked: make(map[string]int)}
	b := warmBuilder{from, newWarm()}
	ask := func() {
		t.Helper()
		for _, ref := range []string{"main", "v1", "main"} {
			if commit, err := b.Commit(t.Context(), "https://git.test/x", ref); err != nil || commit != "commit of "+ref {
				t.Fatalf("Commit = %q, %v", commit, err)
			}
		}
	}
	ask()
	b.warm.changed([]string{"a/b"})
	ask()
	if from.asked["https://git.test/x main"] != 1 || from.asked["https://git.test/x v1"] != 1 {
		t.Errorf("asked %v", from.asked)
	}
	b.warm.changed(nil)
	ask()
	if from.asked["https://git.test/x main"] != 2 || from.asked["https://git.test/x v1"] != 2 {
		t.Errorf("asked again %v", from.asked)
	}
}

// A tags is a registry with one tag.
type tags struct {
	runtime.Registry
	digest plan.Digest
}

func (r *tags) Resolve(context.Context, string) (plan.Digest, error) { return r.digest, nil }

// TestWarmBuild: what a build has pushed is found, although the tag named another image before.
func TestWarmBuild(t *testing.T) {
	keeps := newWarm()
	to := &tags{digest: "before"}
	r := warmRegistry{to, keeps}
	b := warmBuilder{pushes{push: func(string) plan.Digest {
		to.digest = "after"
		return to.digest
	}}, keeps}
	for range 2 {
		if digest, err := r.Resolve(t.Context(), "web:1"); err != nil || digest != "before" {
			t.Errorf("Resolve = %s, %v, want before", digest, err)
		}
	}
	if _, err := b.Build(t.Context(), plan.BuildSpec{}, "web:1", func(runtime.Body) {}); err != nil {
		t.Fatal(err)
	}
	if digest, err := r.Resolve(t.Context(), "web:1"); err != nil || digest != "after" {
		t.Errorf("Resolve = %s, %v, want after", digest, err)
	}
}
