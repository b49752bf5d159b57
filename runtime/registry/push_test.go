package registry

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// TestPush: an image and an index of this machine are stored under a tag, and what is there already is
// not sent again.
func TestPush(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := newRegistry(t, u.addr)
	img := image(t)
	for name, what := range map[string]remote.Taggable{"image": img, "index": randomIndex(t)} {
		to := r.Ref(name, plan.DigestOf([]byte(name)))
		digest, err := r.Push(t.Context(), to, what, discard)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Resolve(t.Context(), to); err != nil || got != digest {
			t.Errorf("%s: Resolve = %s, %v, want %s", name, got, err, digest)
		}
	}
	pulled, err := r.Pull(t.Context(), runtime.ByDigest(r.Ref("image", "sha256:0"), plan.Digest(digestOf(t, img))))
	if err != nil || pulled.Digest.String() != digestOf(t, img) {
		t.Errorf("Pull = %v, %v", pulled, err)
	}
	if _, err := r.Pull(t.Context(), runtime.ByDigest(r.Ref("image", "sha256:0"), plan.DigestOf(nil))); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Pull of no image = %v", err)
	}
	u.seen("")
	if _, err := r.Push(t.Context(), r.Ref("image", plan.DigestOf([]byte("again"))), img, discard); err != nil {
		t.Fatal(err)
	}
	if sent := u.seen("PATCH "); len(sent) > 0 {
		t.Errorf("sent again: %q", sent)
	}
}

// TestPushFails: transient errors are retried, and others say where the image was to be stored.
func TestPushFails(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := newRegistry(t, u.addr)
	var failed atomic.Bool
	u.when(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method != http.MethodPut || !strings.Contains(q.URL.Path, "/manifests/") || failed.Swap(true) {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	var e events
	if _, err := r.Push(t.Context(), r.Ref("web", "sha256:1"), image(t), e.emit); err != nil {
		t.Fatal(err)
	}
	if len(e.all) != 1 {
		t.Errorf("events %v, want one retry", e.all)
	} else if retried, ok := e.all[0].(runtime.Retried); !ok || retried.Again != 1 {
		t.Errorf("event %v, want a retry", e.all[0])
	}
	u.when(func(w http.ResponseWriter, q *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	if _, err := r.Push(t.Context(), r.Ref("web", "sha256:2"), image(t), discard); err == nil || !strings.Contains(err.Error(), "push the image to "+u.addr+"/web:") {
		t.Errorf("Push = %v", err)
	}
}

func digestOf(t *testing.T, img v1.Image) string {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func randomIndex(t *testing.T) v1.ImageIndex {
	t.Helper()
	index, err := random.Index(1000, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	return index
}
