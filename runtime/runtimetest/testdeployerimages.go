package runtimetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// testDeployerImages checks that the images that pods name are found, each with its place,
// and that what they are replaced by is a part of what is deployed.
func testDeployerImages(t *testing.T, dt DeployerTest) {
	const one, two = "registry.test/mirror/one@sha256:0000000000000000000000000000000000000000000000000000000000000001",
		"registry.test/mirror/one@sha256:0000000000000000000000000000000000000000000000000000000000000002"
	s := dt.Naming(t, "named", "one:1", "two", "one:1")
	key := dt.prepared(t, s)
	r := dt.release(t, key, s, "")
	places := make(map[string]bool)
	for range 2 {
		var refs []string
		images, err := dt.Deployer.Images(t.Context(), r)
		for _, im := range images {
			refs, places[im.In] = append(refs, im.Ref), true
		}
		if want := []string{"one:1", "two", "one:1"}; err != nil || !slices.Equal(refs, want) || len(places) != 3 || places[""] {
			t.Fatalf("Images = %+v, %v; want %q in different places", images, err, want)
		}
		r.Mirrored = map[string]string{"one:1": one} // it does not depend on this
	}
	of := func(mirrored map[string]string) plan.Digest {
		r.Mirrored = mirrored
		digest, err := dt.Deployer.Fingerprint(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	none, first, second := of(nil), of(map[string]string{"one:1": one, "two": two}), of(map[string]string{"one:1": two, "two": two})
	if none != r.Fingerprint || first == none || second == first {
		t.Errorf("fingerprints %s without images instead, %s and %s with some", none, first, second)
	}
	r.Fingerprint = second
	dt.deploy(t, r)
	if d := dt.deployed(t, key)["named"]; d.Fingerprint != second || !d.Ready {
		t.Errorf("deployed: %+v", d)
	}
	if _, err := dt.Deployer.Check(t.Context(), r, discard); err != nil {
		t.Errorf("Check of what is deployed = %v", err)
	}

	// Images that the deploy finds are copied by it, before it writes anything.
	refused := errors.New("this image cannot be copied")
	r.Mirrored, r.Mirror = map[string]string{"one:1": one}, func(context.Context, []runtime.PodImage) (map[string]string, error) {
		return nil, &runtime.ImagesError{Images: []runtime.ImageFailure{{Ref: "two", Err: refused}}}
	}
	if err := dt.Deployer.Act(t.Context(), runtime.Deploy, r, discard); !errors.Is(err, refused) {
		t.Errorf("a deploy with an image that cannot be copied = %v", err)
	}
	if d := dt.deployed(t, key)["named"]; d.Fingerprint != second || d.Revision != 1 {
		t.Errorf("after it: %+v", d)
	}
	calls := 0
	r.Mirror = func(_ context.Context, named []runtime.PodImage) (map[string]string, error) {
		if calls++; len(named) != 3 || named[1].Ref != "two" || named[1].In == "" {
			t.Errorf("copied are %+v", named)
		}
		return map[string]string{"one:1": one, "two": two}, nil
	}
	dt.deploy(t, r)
	if d := dt.deployed(t, key)["named"]; calls != 1 || d.Fingerprint != first || !d.Ready {
		t.Errorf("images were copied %d times; deployed: %+v, want the fingerprint %s", calls, d, first)
	}
	r.Mirrored = map[string]string{"one:1": one, "two": two}
	dt.deploy(t, r)
	if calls != 1 {
		t.Error("images that the release has were copied again")
	}
}
