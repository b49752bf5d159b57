package registry

import (
	"archive/tar"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/pipelinefile/pipe/runtime"
)

// TestAddLayer: the image has all layers of its base and one more, also in an index, whose
// attestations are removed.
func TestAddLayer(t *testing.T) {
	prefix := ours(t).Addr
	r := newRegistry(t, prefix)
	write := func(w io.Writer) error {
		out := tar.NewWriter(w)
		if err := out.WriteHeader(&tar.Header{Name: "app/a.js", Size: 3, Mode: 0o644}); err != nil {
			return err
		}
		if _, err := out.Write([]byte("two")); err != nil {
			return err
		}
		return out.Close()
	}
	one := image(t)
	amd := v1.Platform{OS: "linux", Architecture: "amd64"}
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: &amd}},
		mutate.IndexAddendum{Add: image(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}})
	for name, what := range map[string]remote.Taggable{"image": one, "index": index} {
		ref := prefix + "/web:" + name
		base := runtime.ByDigest(ref, push(t, ref, what))
		made, err := r.AddLayer(t.Context(), base, write)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.HasPrefix(made, prefix+"/web@sha256:") || made == base {
			t.Errorf("%s: it is %s, made of %s", name, made, base)
		}
		got, err := remote.Image(mustRef(t, made), remote.WithPlatform(amd))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := validate.Image(got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		layers, err := got.Layers()
		if err != nil {
			t.Fatal(err)
		}
		if before, _ := one.Layers(); len(layers) != len(before)+1 {
			t.Errorf("%s: %d layers of %d", name, len(layers), len(before))
		}
		content, err := layers[len(layers)-1].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		h, err := tar.NewReader(content).Next()
		if err != nil || h.Name != "app/a.js" {
			t.Errorf("%s: the last layer has %v, %v", name, h, err)
		}
	}
	if _, err := r.AddLayer(t.Context(), prefix+"/web:image", write); err == nil {
		t.Error("an image by its tag got a layer")
	}
	if _, err := r.AddLayer(t.Context(), prefix+"/web@sha256:"+strings.Repeat("0", 64), write); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("an image that is not there: %v, want %v", err, runtime.ErrNotFound)
	}
	wrong := errors.New("it changes")
	if _, err := r.AddLayer(t.Context(), prefix+"/web:image@sha256:"+strings.Repeat("0", 64), func(io.Writer) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("a layer that cannot be written: %v, want %v", err, wrong)
	}
}
