package registry

import (
	"testing"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/runtime/registry/serve"
)

// Mirrored images must survive a garbage collection of untagged images, even when their own
// tag has moved, because releases name them by digest.
func TestGarbageCollectionLeavesMirrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := serve.Start(t.Context(), serve.Options{Dir: dir, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	u := newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/many:1"
	var refs []string
	for range 2 {
		index, err := random.Index(1000, 1, 2)
		if err != nil {
			t.Fatal(err)
		}
		push(t, src, index)
		attach(t, u.addr+"/many", "signature", described(t, index))
		ref, _ := mirror(t, r, src)
		refs = append(refs, ref)
	}
	// An untagged image, to check that something is collected.
	garbage := image(t)
	digest, err := garbage.Digest()
	if err != nil {
		t.Fatal(err)
	}
	untagged := mustRef(t, s.Addr+"/web@"+digest.String())
	push(t, untagged.String(), garbage)

	driver := filesystem.New(filesystem.DriverParameters{RootDirectory: dir + "/images", MaxThreads: 25})
	namespace, err := storage.NewRegistry(t.Context(), driver, storage.EnableDelete)
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.MarkAndSweep(t.Context(), driver, namespace, storage.GCOpts{RemoveUntagged: true, Quiet: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(untagged); err == nil {
		t.Error("what has no tag was not collected")
	}
	for _, ref := range refs {
		index, err := remote.Index(mustRef(t, ref))
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if n := readAll(t, index); n != 2 {
			t.Errorf("%s has %d images, want 2", ref, n)
		}
		if got := statements(t, mustRef(t, ref).Context(), described(t, index).Digest); len(got) != 1 {
			t.Errorf("%s has the signatures %q, want one", ref, got)
		}
	}
}
