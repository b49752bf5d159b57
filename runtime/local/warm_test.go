package local

import (
	"context"
	"testing"

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
