package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
)

func mirror(t *testing.T, r *Registry, src string) (ref string, copied bool) {
	t.Helper()
	ref, copied, err := r.Mirror(t.Context(), src, discard)
	if err != nil {
		t.Fatalf("Mirror(%s) = %v", src, err)
	}
	return ref, copied
}

func TestMirrorNames(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "ghcr.io/acme/shop")
	for src, want := range map[string]string{
		"redis":                         "ghcr.io/acme/shop/mirror/docker.io/library/redis",
		"redis:7":                       "ghcr.io/acme/shop/mirror/docker.io/library/redis",
		"docker.io/library/redis":       "ghcr.io/acme/shop/mirror/docker.io/library/redis",
		"index.docker.io/acme/web":      "ghcr.io/acme/shop/mirror/docker.io/acme/web",
		"quay.io/a/b/c:d":               "ghcr.io/acme/shop/mirror/quay.io/a/b/c",
		"127.0.0.1:5000/redis":          "ghcr.io/acme/shop/mirror/127.0.0.1_5000/redis",
		"ghcr.io/acme/other/web:latest": "ghcr.io/acme/shop/mirror/ghcr.io/acme/other/web",
		"ghcr.io/acme/shopper/web":      "ghcr.io/acme/shop/mirror/ghcr.io/acme/shopper/web",
	} {
		from, err := r.parse(src)
		if err != nil {
			t.Fatal(err)
		}
		repo, err := r.mirrorOf(from.Context())
		if err != nil || repo.String() != want {
			t.Errorf("%s is mirrored to %s, %v; want %s", src, repo, err, want)
		}
		if r.own(from.Context()) {
			t.Errorf("%s counts as in the registry already", src)
		}
	}
	own, err := r.parse("ghcr.io/acme/shop/web:1")
	if err != nil || !r.own(own.Context()) {
		t.Errorf("an image of the registry itself is not seen as that: %v", err)
	}
	if _, _, err := r.Mirror(t.Context(), "Redis:7", discard); err == nil ||
		err.Error() != `"Redis:7" is not an image reference: write one such as ghcr.io/acme/web:1.2, in lower-case letters and without https://` {
		t.Errorf("Mirror(Redis:7) = %v", err)
	}
}

func TestMirrorOfAnImageThatIsHereAlready(t *testing.T) {
	t.Parallel()
	s := ours(t)
	r := newRegistry(t, s.Addr)
	ref := r.Ref("web", "sha256:x")
	digest := push(t, ref, image(t))
	got, copied := mirror(t, r, ref)
	if want := runtime.ByDigest(ref, digest); got != want || copied {
		t.Errorf("Mirror = %s, %v; want %s, not copied", got, copied, want)
	}
	if got, there, err := r.Mirrored(t.Context(), ref); err != nil || !there || got != runtime.ByDigest(ref, digest) {
		t.Errorf("Mirrored = %s, %v, %v", got, there, err)
	}
}

func TestMirrorCopiesAllPlatforms(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/many:1"
	index, err := random.Index(3000, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	// A nested index, as for variants of one platform.
	inner, err := random.Index(1000, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: inner})
	digest := push(t, src, index)
	var e events
	ref, copied, err := r.Mirror(t.Context(), src, e.emit)
	if err != nil || !copied || !strings.HasSuffix(ref, "@"+string(digest)) {
		t.Fatalf("Mirror = %s, %v, %v", ref, copied, err)
	}
	got, err := remote.Index(mustRef(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	images := readAll(t, got)
	if images != 5 {
		t.Errorf("%d images can be read, want 5", images)
	}
	// Both tags exist, and the progress goes from zero to everything.
	repo := s.Addr + "/mirror/" + strings.ReplaceAll(u.addr, ":", "_") + "/many"
	for _, tag := range []string{"1", strings.TrimPrefix(string(digest), "sha256:")} {
		if got, err := r.Resolve(t.Context(), repo+":"+tag); err != nil || got != digest {
			t.Errorf("tag %s is %s, %v; want %s", tag, got, err, digest)
		}
	}
	first, isTransfer := e.all[0].(runtime.Transfer)
	last, _ := e.all[len(e.all)-1].(runtime.Transfer)
	if !isTransfer || first.Bytes != 0 || first.Of == 0 || last.Bytes != first.Of || last.Of != first.Of || first.Image != src {
		t.Errorf("transfers from %+v to %+v", first, last)
	}
}

// readAll reads a complete index and returns the number of its images.
func readAll(t *testing.T, index v1.ImageIndex) int {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range m.Manifests {
		if d.MediaType.IsIndex() {
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			n += readAll(t, inner)
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			body, err := l.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			body.Close()
		}
		n++
	}
	return n
}

// An unchanged image costs one request upstream and one to the mirror.
func TestMirrorAgainAsksOnce(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/redis:7"
	push(t, src, image(t))
	want, _ := mirror(t, r, src)
	u.seen("")
	ref, copied := mirror(t, r, src)
	if got := u.seen(""); copied || ref != want || len(got) != 1 || got[0] != "HEAD /v2/redis/manifests/7" {
		t.Errorf("Mirror again = %s, %v, with requests %v; want %s, not copied, one", ref, copied, got, want)
	}
	// By digest, upstream is not needed.
	u.Close()
	byDigest := u.addr + "/redis" + want[strings.IndexByte(want, '@'):]
	if ref, copied := mirror(t, r, byDigest); copied || ref != want {
		t.Errorf("Mirror by digest = %s, %v; want %s, not copied", ref, copied, want)
	}
}

func TestMirrorDoesNotCopyLayersAgain(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	base := image(t)
	top, err := random.Layer(500, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	next, err := mutate.AppendLayers(base, top)
	if err != nil {
		t.Fatal(err)
	}
	push(t, u.addr+"/redis:7", base)
	push(t, u.addr+"/redis:8", next)
	push(t, u.addr+"/other:1", next)
	reads := func(src string) int {
		u.seen("")
		if _, copied := mirror(t, r, src); !copied {
			t.Errorf("%s was not copied", src)
		}
		n := 0
		for _, r := range u.seen("/blobs/") {
			if strings.HasPrefix(r, "GET ") {
				n++
			}
		}
		return n
	}
	if n := reads(u.addr + "/redis:7"); n != 3 {
		t.Errorf("%d blobs were read for the first image, want 3: two layers and its configuration", n)
	}
	if n := reads(u.addr + "/redis:8"); n != 2 {
		t.Errorf("%d blobs were read for one with a layer more, want 2", n)
	}
	if n := reads(u.addr + "/other:1"); n != 0 {
		t.Errorf("%d blobs were read for one whose layers another repository has, want none", n)
	}
	// A copy that was interrupted after its layers and before its tags is resumed.
	again := newRegistry(t, s.Addr)
	repo := mustRef(t, s.Addr+"/mirror/"+strings.ReplaceAll(u.addr, ":", "_")+"/redis:8").Context()
	digest, err := next.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(repo.Digest(digest.String())); err != nil {
		t.Fatal(err)
	}
	r = again
	if n := reads(u.addr + "/redis:8"); n != 0 {
		t.Errorf("%d blobs were read again, want none", n)
	}
}

func TestMovedTag(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/redis:7"
	one, two := image(t), image(t)
	push(t, src, one)
	first, _ := mirror(t, r, src)
	push(t, src, two)
	var e events
	second, copied, err := r.Mirror(t.Context(), src, e.emit)
	if err != nil || !copied || first == second {
		t.Errorf("after the tag has moved, Mirror = %s, %v, %v", second, copied, err)
	}
	digest := func(ref string) plan.Digest { return plan.Digest(ref[strings.IndexByte(ref, '@')+1:]) }
	if moved := (runtime.TagMoved{Image: src, From: digest(first), To: digest(second)}); len(e.all) == 0 || e.all[0] != runtime.Body(moved) {
		t.Errorf("events = %+v\nwant first %+v", e.all, moved)
	}
	e.all = nil
	if _, _, err := r.Mirror(t.Context(), src, e.emit); err != nil || len(e.all) > 0 {
		t.Errorf("Mirror again = %v, with %+v; want no event", err, e.all)
	}
	// Moved back: nothing is copied, but the tag in the mirror moves too, so the run must
	// know that there is something to do.
	push(t, src, one)
	if ref, there, err := r.Mirrored(t.Context(), src); err != nil || there || ref != first {
		t.Errorf("Mirrored = %s, %v, %v; want %s, not there with its tag", ref, there, err, first)
	}
	if ref, copied := mirror(t, r, src); copied || ref != first {
		t.Errorf("Mirror = %s, %v; want %s, not copied", ref, copied, first)
	}
	tag := strings.Replace(first[:strings.IndexByte(first, '@')]+":7", " ", "", 1)
	if got, err := r.Resolve(t.Context(), tag); err != nil || "@"+string(got) != first[strings.IndexByte(first, '@'):] {
		t.Errorf("tag here = %s, %v; want that of %s", got, err, first)
	}
}

// TestFormerImageIsKept: an image that loses its tag keeps one, even if a process was killed before it
// had given it both.
func TestFormerImageIsKept(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/redis:7"
	digest := push(t, src, image(t))
	ref, _ := mirror(t, r, src)
	kept := mustRef(t, ref).Context().Tag(strings.TrimPrefix(string(digest), "sha256:"))
	if err := r.untag(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if ref, there, err := r.Mirrored(t.Context(), src); err != nil || !there {
		t.Errorf("Mirrored = %s, %v, %v; want it there", ref, there, err)
	}
	push(t, src, image(t))
	mirror(t, r, src)
	if got, err := r.Resolve(t.Context(), kept.Name()); err != nil || got != digest {
		t.Errorf("the former image has the tag %s = %s, %v; want %s", kept.TagStr(), got, err, digest)
	}
}

func TestUpstreamGone(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/redis:7"
	digest := push(t, src, image(t))
	want, _ := mirror(t, r, src)
	u.Close()
	var e events
	ref, copied, err := r.Mirror(t.Context(), src, e.emit)
	if err != nil || copied || ref != want {
		t.Errorf("Mirror without upstream = %s, %v, %v; want %s", ref, copied, err, want)
	}
	warning := fmt.Sprintf("image %s: registry %s cannot be reached: connection refused: check that it is running, and its address: "+
		"taking %s, which it was when it was last seen", src, u.addr, digest)
	if len(e.all) != 1 || e.all[0].(runtime.Warned).Diagnostic.Message != warning {
		t.Errorf("events = %+v\nwant the warning %s", e.all, warning)
	}
	if ref, there, err := r.Mirrored(t.Context(), src); err != nil || !there || ref != want {
		t.Errorf("Mirrored without upstream = %s, %v, %v; want %s", ref, there, err, want)
	}
	_, _, err = r.Mirror(t.Context(), u.addr+"/unknown:1", discard)
	if want := fmt.Sprintf("image %s/unknown:1: registry %s cannot be reached: connection refused: check that it is running, and its address", u.addr, u.addr); err == nil || err.Error() != want {
		t.Errorf("Mirror of what was never seen = %v\nwant %s", err, want)
	}
}

func TestOursGone(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, err := serve.Start(t.Context(), serve.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	push(t, u.addr+"/redis:7", image(t))
	r := newRegistry(t, s.Addr)
	_, _, err = r.Mirror(t.Context(), u.addr+"/redis:7", discard)
	want := fmt.Sprintf("image %s/mirror/%s/redis:7: registry %s cannot be reached: connection refused: check that it is running, and its address",
		s.Addr, strings.ReplaceAll(u.addr, ":", "_"), s.Addr)
	if err == nil || err.Error() != want {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
}

// An index that was copied incompletely may list a platform that does not exist.
func TestUpstreamLacksAPart(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	index, err := random.Index(1000, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	src := u.addr + "/many:1"
	push(t, src, index)
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	lacking := m.Manifests[1].Digest.String()
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, lacking) {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	})
	_, _, err = newRegistry(t, s.Addr).Mirror(t.Context(), src, discard)
	want := fmt.Sprintf("mirror image %s: image %s/many@%s: not found in registry %s: check the name and the tag", src, u.addr, lacking, u.addr)
	if err == nil || err.Error() != want || !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
}

func TestTransientErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	src := u.addr + "/redis:7"
	push(t, src, image(t))
	var blobs, cut atomic.Int32
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		switch blobs.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case 2: // in the middle of the body
			cut.Add(1)
			u.half(w, r, aborts)
		}
		return false
	})
	var e events
	if _, copied, err := newRegistry(t, s.Addr).Mirror(t.Context(), src, e.emit); err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	var retried []runtime.Retried
	for _, b := range e.all {
		if r, ok := b.(runtime.Retried); ok {
			retried = append(retried, r)
		}
	}
	if len(retried) != 2 || cut.Load() != 1 {
		t.Fatalf("retries = %+v, want two", retried)
	}
	for _, r := range retried {
		if !strings.HasPrefix(r.What, "copy sha256:") || r.Again != 1 || r.Error == "" {
			t.Errorf("retry = %+v", r)
		}
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, `{"errors":[{"code":"UNKNOWN","message":"the storage sleeps"}]}`)
		return true
	})
	var e events
	_, _, err := newRegistry(t, s.Addr).Mirror(t.Context(), u.addr+"/redis:7", e.emit)
	want := fmt.Sprintf("image %s/redis:7: registry %s returned 502 Bad Gateway (the storage sleeps): try again, or ask its operator", u.addr, u.addr)
	if err == nil || err.Error() != want {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
	if len(e.all) != retry.Max {
		t.Errorf("%d events, want %d retries: %+v", len(e.all), retry.Max, e.all)
	}
}
