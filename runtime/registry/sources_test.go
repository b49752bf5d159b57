package registry

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/runtime"
)

// withRegistries returns a registry with a registries.conf, whose text has %s for each of these.
func withRegistries(t *testing.T, prefix, text string, args ...any) *Registry {
	t.Helper()
	file := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, text, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Prefix: prefix, Registries: file})
	if err != nil {
		t.Fatal(err)
	}
	r.wait = firstWait / 500
	return r
}

const oneMirror = "[[registry]]\nprefix = \"%s\"\n[[registry.mirror]]\nlocation = \"%s\"\n"

func TestMirrorReadsFromElsewhere(t *testing.T) {
	t.Parallel()
	s, origin, elsewhere := ours(t), newUpstream(t), newUpstream(t)
	img := image(t)
	digest := push(t, elsewhere.addr+"/hub/library/redis:7", img)
	onlyThere := push(t, origin.addr+"/acme/web:1", image(t))
	r := withRegistries(t, s.Addr, oneMirror+"[[registry]]\nprefix = \"docker.io\"\nlocation = \"%s/hub\"\n", origin.addr, elsewhere.addr+"/hub", elsewhere.addr)

	// A registry that is replaced is not asked, and the image keeps its name.
	ref, copied := mirror(t, r, "redis:7")
	if want := s.Addr + "/mirror/docker.io/library/redis@" + string(digest); !copied || ref != want {
		t.Errorf("Mirror = %s, %v; want %s", ref, copied, want)
	}
	if got, err := r.Resolve(t.Context(), "redis:7"); err != nil || got != digest {
		t.Errorf("Resolve = %s, %v", got, err)
	}
	if ref, copied := mirror(t, r, "docker.io/library/redis@"+string(digest)); copied || !strings.HasSuffix(ref, string(digest)) {
		t.Errorf("Mirror by digest = %s, %v", ref, copied)
	}
	// What a mirror has is not asked for elsewhere.
	push(t, elsewhere.addr+"/hub/acme/api:1", img)
	origin.seen("")
	mirror(t, r, origin.addr+"/acme/api:1")
	if got := origin.seen(""); len(got) > 0 {
		t.Errorf("requests = %v, want none: the mirror has the image", got)
	}
	// What it lacks comes from the registry itself.
	if ref, copied := mirror(t, r, origin.addr+"/acme/web:1"); !copied || !strings.HasSuffix(ref, string(onlyThere)) {
		t.Errorf("Mirror = %s, %v", ref, copied)
	}
	_, _, err := r.Mirror(t.Context(), origin.addr+"/acme/missing:1", discard)
	want := fmt.Sprintf("image %[1]s/acme/missing:1: not found in registry %[1]s: check the name and the tag; before it, its mirrors of %[2]s: image %[3]s/hub/acme/missing:1: not found in registry %[3]s: check the name and the tag",
		origin.addr, r.registries, elsewhere.addr)
	if err == nil || err.Error() != want {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
}

// A mirror that fails in the middle costs the rest of a copy from the next place.
func TestMirrorGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	s, origin, elsewhere := ours(t), newUpstream(t), newUpstream(t)
	img := image(t)
	digest := push(t, elsewhere.addr+"/web:1", img)
	push(t, origin.addr+"/web:1", img)
	elsewhere.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	r := withRegistries(t, s.Addr, oneMirror, origin.addr, elsewhere.addr)
	var e events
	ref, copied, err := r.Mirror(t.Context(), origin.addr+"/web:1", e.emit)
	if err != nil || !copied || !strings.HasSuffix(ref, string(digest)) {
		t.Fatalf("Mirror = %s, %v, %v", ref, copied, err)
	}
	want := runtime.Retried{What: fmt.Sprintf("copy %[1]s/web:1 from %[1]s/web:1", origin.addr), Error: "403 Forbidden", Again: 1}
	said := false
	for _, b := range e.all {
		said = said || b == runtime.Body(want)
	}
	if !said {
		t.Errorf("events = %+v, want %+v", e.all, want)
	}
	// A mirror that is gone is passed over.
	push(t, origin.addr+"/web:2", image(t))
	elsewhere.Close()
	if _, copied, err := r.Mirror(t.Context(), origin.addr+"/web:2", discard); err != nil || !copied {
		t.Errorf("Mirror = %v, %v", copied, err)
	}
}

// The images in the prefix itself are never read from elsewhere.
func TestOwnImagesAreNotReadFromElsewhere(t *testing.T) {
	t.Parallel()
	s, elsewhere := ours(t), newUpstream(t)
	r := withRegistries(t, s.Addr, oneMirror, s.Addr, elsewhere.addr)
	ref := r.Ref("web", "sha256:x")
	digest := push(t, ref, image(t))
	if got, err := r.Resolve(t.Context(), ref); err != nil || got != digest {
		t.Errorf("Resolve = %s, %v", got, err)
	}
	if got := elsewhere.seen(""); len(got) > 0 {
		t.Errorf("requests = %v", got)
	}
}

func TestMistakeInRegistries(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := withRegistries(t, s.Addr, "[[registry]]\nprefix = \"https://docker.io\"\n")
	_, _, err := r.Mirror(t.Context(), u.addr+"/web:1", discard)
	want := r.registries + `:2:10: "https://docker.io" begins with https://`
	if err == nil || err.Error() != want {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
	if advice, ok := runtime.AdviceOf(err); !ok || advice.Do != `write "docker.io"` {
		t.Errorf("advice = %+v, %v", advice, ok)
	}
	// It is read again.
	push(t, u.addr+"/web:1", image(t))
	if err := os.WriteFile(r.registries, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mirror(t, r, u.addr+"/web:1")
}

// TestPullFromElsewhere: Pull reads an image from where its registry is read.
func TestPullFromElsewhere(t *testing.T) {
	t.Parallel()
	s, origin, elsewhere := ours(t), newUpstream(t), newUpstream(t)
	digest := push(t, elsewhere.addr+"/hub/acme/builder:1", image(t))
	r := withRegistries(t, s.Addr, oneMirror, origin.addr, elsewhere.addr+"/hub")
	found, err := r.Pull(t.Context(), origin.addr+"/acme/builder@"+string(digest))
	if err != nil || found.Digest.String() != string(digest) {
		t.Fatalf("Pull = %v, %v", found, err)
	}
	img, err := found.Image()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.RawConfigFile(); err != nil {
		t.Errorf("its configuration: %v", err)
	}
	if _, err := r.Pull(t.Context(), origin.addr+"/acme/none:1"); !errors.Is(err, runtime.ErrNotFound) || !strings.Contains(err.Error(), "before it, its mirrors") {
		t.Errorf("Pull of an image that is nowhere: %v", err)
	}
}
