package store

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
)

// alone returns a store that sees nothing of other namespaces: Used reads the whole
// cluster, in which other tests damage their own state at the same time.
func alone(t *testing.T, namespace string) *process {
	t.Helper()
	s := start(t, Options{})
	s.before = func(_ int64, r *http.Request) error {
		for _, resource := range []string{"leases", "configmaps", "secrets"} {
			r.URL.Path = strings.Replace(r.URL.Path, "1/"+resource, "1/namespaces/"+namespace+"/"+resource, 1)
		}
		return nil
	}
	s.shaken.Store(true)
	return s
}

// TestUsed: all images of a record are in use, those that charts name as well.
func TestUsed(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	s := alone(t, key.Namespace())
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
