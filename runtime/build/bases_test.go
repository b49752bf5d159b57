package build_test

import (
	"fmt"
	"slices"
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

// TestBaseImages: what an image was built from is known, by tag and digest. A tag that moves
// during a run is that of before for all builds of the run.
func TestBaseImages(t *testing.T) {
	host := images(t)
	b := newBuilder(t, workspace(t, files{
		"one/Dockerfile": "FROM scratch\nCOPY x /x\n", "one/x": "one",
		"two/Dockerfile": "FROM scratch\nCOPY x /x\n", "two/x": "two",
	}))
	one, _ := mustBuild(t, b, spec("one"), host+"/base:1")
	if got := b.Bases(host + "/base:1"); got == nil || len(got) > 0 {
		t.Errorf("an image of scratch has the bases %+v, want none", got)
	}
	tool, _ := mustBuild(t, b, spec("two"), host+"/tool:2")
	dockerfile := fmt.Sprintf(`# syntax=docker/dockerfile:1
ARG TAG=1
FROM %[1]s/unused:1 AS unused
FROM %[1]s/tool:2 AS stage
FROM %[1]s/base:${TAG}
COPY --from=stage /x /stage
COPY --from=%[1]s/tool@%[2]s /x /tool
COPY --from=%[1]s/base:1@%[3]s /x /pinned
`, host, tool, one)
	dir := workspace(t, files{
		"web/Dockerfile":   dockerfile,
		"later/Dockerfile": "FROM " + host + "/base:1\nCOPY y /y\n", "later/y": "y",
	})
	b = newBuilder(t, dir)
	mustBuild(t, b, spec("web"), host+"/web:1")
	want := []runtime.BaseImage{
		{Image: host + "/base:1", Digest: one}, // pinned, too
		{Image: host + "/tool:2", Digest: tool}, {Image: host + "/tool", Digest: tool, Pinned: true},
	}
	if got := b.Bases(host + "/web:1"); !slices.Equal(got, want) {
		t.Errorf("Bases = %+v\nwant %+v", got, want)
	}
	if got := b.Bases(host + "/web:1"); got != nil {
		t.Errorf("Bases = %+v after they were returned", got)
	}

	two, _ := mustBuild(t, newBuilder(t, workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY x /x\n", "web/x": "new"})), spec("web"), host+"/base:1")
	content := func() string { return readImage(t, pull(t, host+"/later:1"), "x") }
	mustBuild(t, b, spec("later"), host+"/later:1")
	if got := b.Bases(host + "/later:1"); content() != "one" || !slices.Equal(got, want[:1]) {
		t.Errorf("in the same run: %q of %+v, want that of before", content(), got)
	}
	b.Refresh()
	mustBuild(t, b, spec("later"), host+"/later:1")
	if got := b.Bases(host + "/later:1"); content() != "new" || len(got) != 1 || got[0].Digest != two {
		t.Errorf("in the next run: %q of %+v, want %s", content(), got, two)
	}
}

// TestBaseImagesOfPlatforms: an index is one base image for all platforms.
func TestBaseImagesOfPlatforms(t *testing.T) {
	host := images(t)
	b := newBuilder(t, workspace(t, files{
		"base/Dockerfile": "FROM scratch\nCOPY x /x\n", "base/x": "x",
		"web/Dockerfile": "FROM " + host + "/base:1\nCOPY y /y\n", "web/y": "y",
	}))
	base, web := spec("base"), spec("web")
	base.Platforms = []string{"linux/amd64", "linux/arm64"}
	web.Platforms = base.Platforms
	digest, _ := mustBuild(t, b, base, host+"/base:1")
	mustBuild(t, b, web, host+"/web:1")
	if got, want := b.Bases(host+"/web:1"), []runtime.BaseImage{{Image: host + "/base:1", Digest: digest}}; !slices.Equal(got, want) {
		t.Errorf("Bases = %+v, want %+v", got, want)
	}
	if got := platformsOf(t, host+"/web:1"); !slices.Equal(got, base.Platforms) {
		t.Errorf("the platforms are %q", got)
	}
}
