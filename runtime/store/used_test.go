package store

import (
	"slices"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
)

// TestUsed: all images of a record are in use, those that charts name as well.
func TestUsed(t *testing.T) {
	t.Parallel()
	key, s := fresh(t), start(t, Options{})
	run := runtime.RunRecord{ID: "one", Services: []runtime.ServiceRecord{{
		Service: "web", Image: "r/own@sha256:1", Images: map[string]string{"proxy": "r/proxy@sha256:2"}, Mirrored: map[string]string{"nginx": "r/nginx@sha256:3"},
	}}}
	if err := s.AddRun(t.Context(), key, run); err != nil {
		t.Fatal(err)
	}
	used, err := s.Used(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"r/own@sha256:1", "r/proxy@sha256:2", "r/nginx@sha256:3"} {
		if !slices.Contains(used.Images[ref], short(key)) {
			t.Errorf("%s is not used by %s: %v", ref, short(key), used.Images[ref])
		}
	}
}
