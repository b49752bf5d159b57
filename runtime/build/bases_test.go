package build_test

import (
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// TestBases: an image in the registry, by digest, is the value of an argument that FROM
// uses. The identity of the build depends on that of the base, and not on where it is.
func TestBases(t *testing.T) {
	host := images(t)
	dir := workspace(t, files{
		"base/Dockerfile": "FROM scratch\nCOPY note /note\n", "base/note": "of the base",
		"app/Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY main /main\n", "app/main": "of the app",
	})
	b := newBuilder(t, dir)
	ref := host + "/base:1"
	digest, _ := mustBuild(t, b, spec("base"), ref)
	s := spec("app")
	s.ImageArgs = map[string]plan.ImageSource{"BASE": {Build: "base"}}
	s.Bases = map[string]plan.Base{"BASE": {Identity: "sha256:1"}}
	identity := func() plan.Digest {
		id, err := b.Identify(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := identity()
	s.Bases = map[string]plan.Base{"BASE": {Identity: "sha256:1", Ref: runtime.ByDigest(ref, digest)}}
	if id := identity(); id != first {
		t.Errorf("the identity depends on the reference: %s, %s", first, id)
	}
	mustBuild(t, b, s, host+"/app:1")
	image := pull(t, host+"/app:1")
	if got := readImage(t, image, "note") + ", " + readImage(t, image, "main"); got != "of the base, of the app" {
		t.Errorf("the image has %q", got)
	}
	s.Bases = map[string]plan.Base{"BASE": {Identity: "sha256:2"}}
	if id := identity(); id == first {
		t.Errorf("the identity does not depend on the base")
	}
}
