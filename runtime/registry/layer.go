package registry

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// AddLayer creates an image from one of this registry by adding a layer, and returns its
// reference, by digest. write writes the layer as a tar archive. For an index, the layer is
// added to each image. The new image has no tag, so the registry may remove it when it is no
// longer used.
func (r *Registry) AddLayer(ctx context.Context, ref string, write func(io.Writer) error) (string, error) {
	base, err := name.NewDigest(ref)
	if err != nil {
		return "", fmt.Errorf("add a layer to %s: it is not named by its digest: %w", ref, err)
	}
	file, err := os.CreateTemp("", "pipe-layer-*.tar")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	err = write(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	layer, err := tarball.LayerFromFile(file.Name())
	if err != nil {
		return "", fmt.Errorf("add a layer to %s: %w", ref, err)
	}
	var made name.Digest
	err = r.try(ctx, discard, "add a layer to "+show(base), func(ctx context.Context, s *session) error {
		desc, err := s.puller.Get(ctx, base)
		if err != nil {
			return err
		}
		var image remote.Taggable
		var digest v1.Hash
		if desc.MediaType.IsIndex() {
			image, digest, err = indexWith(desc, layer)
		} else {
			image, digest, err = imageWith(desc, layer)
		}
		if err != nil {
			return err
		}
		pusher, err := remote.NewPusher(r.options()...)
		if err != nil {
			return err
		}
		made = base.Context().Digest(digest.String())
		return pusher.Push(ctx, made, image)
	})
	if err != nil {
		return "", fmt.Errorf("add a layer to %s: %w", show(base), r.explain(ctx, base, err))
	}
	return made.String(), nil
}

// imageWith returns an image with an additional layer, and its digest.
func imageWith(desc *remote.Descriptor, layer v1.Layer) (remote.Taggable, v1.Hash, error) {
	base, err := desc.Image()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	digest, err := img.Digest()
	return img, digest, err
}

// indexWith returns an index with an additional layer in each image, and its digest.
// Attestations, such as the provenance of a build, are removed.
func indexWith(desc *remote.Descriptor, layer v1.Layer) (remote.Taggable, v1.Hash, error) {
	base, err := desc.ImageIndex()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	list, err := base.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	out := mutate.RemoveManifests(base, func(v1.Descriptor) bool { return true })
	for _, d := range list.Manifests {
		if !d.MediaType.IsImage() || d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		img, err := base.Image(d.Digest)
		if err == nil {
			img, err = mutate.AppendLayers(img, layer)
		}
		if err != nil {
			return nil, v1.Hash{}, err
		}
		out = mutate.AppendManifests(out, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: d.Platform}})
	}
	digest, err := out.Digest()
	return out, digest, err
}
