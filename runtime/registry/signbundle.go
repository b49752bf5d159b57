package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/runtime"
)

// What cosign 3 writes about a bundle into the manifest that has it.
const (
	bundleVersion  = bundleType + ".v0.3+json"
	bundleContent  = "dev.sigstore.bundle.content"
	bundleEnvelope = "dsse-envelope"
	bundleSays     = "dev.sigstore.bundle.predicateType"
)

var errBundleLost = errors.New("the registry does not list what was written: other processes write signatures, or it has lost a part of it")

// AddBundle writes a signature of the image at ref, which names it by digest (I15): a bundle of Sigstore, in a
// manifest that refers to the image, as cosign 3 writes it. In a registry that does not list referrers, the index at
// the tag of the digest lists it.
func (r *Registry) AddBundle(ctx context.Context, ref string, bundle []byte, emit runtime.Emit) error {
	image, digest, err := r.parseDigest(ref)
	if err != nil {
		return err
	}
	failed := func(err error) error {
		return fmt.Errorf("write the signature of %s: %w", show(image), r.explain(ctx, image, err))
	}
	of, err := r.manifest(ctx, image, emit)
	if err != nil {
		return failed(err)
	}
	layer, config := static.NewLayer(bundle, bundleVersion), static.NewLayer([]byte("{}"), emptyType)
	m, err := bundleManifest(of.desc, layer, config)
	if err != nil {
		return err
	}
	repo := image.Context()
	at := repo.Digest(m.desc.Digest.String())
	c := &copier{registry: r, from: repo, emit: emit}
	for range signTries {
		err := r.write(ctx, "write the signature of "+show(image), emit, func(ctx context.Context, p *remote.Pusher) error {
			for _, part := range []v1.Layer{config, layer} {
				if err := p.Upload(ctx, repo, part); err != nil {
					return err
				}
			}
			return p.Put(ctx, at, m)
		})
		if err != nil {
			return failed(err)
		}
		all, err := c.listed(ctx, digest, nil)
		if err != nil {
			return failed(err)
		}
		for _, d := range all {
			if d.Digest == m.desc.Digest {
				return nil
			}
		}
	}
	return fmt.Errorf("write the signature of %s: %w", show(image), errBundleLost)
}

// bundleManifest returns the manifest of a bundle about an image.
func bundleManifest(of v1.Descriptor, layer, config v1.Layer) (manifest, error) {
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: bundleVersion,
		Layers:      make([]v1.Descriptor, 1),
		Subject:     &v1.Descriptor{MediaType: of.MediaType, Size: of.Size, Digest: of.Digest},
		Annotations: map[string]string{bundleContent: bundleEnvelope, bundleSays: signPredicate},
	}
	for _, part := range []struct {
		of v1.Layer
		to *v1.Descriptor
	}{{config, &m.Config}, {layer, &m.Layers[0]}} {
		desc, err := partial.Descriptor(part.of)
		if err != nil {
			return manifest{}, err
		}
		*part.to = *desc
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return manifest{}, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	return manifest{raw: raw, desc: v1.Descriptor{MediaType: m.MediaType, Digest: digest, Size: size}}, err
}
