package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
)

// The provenance of an image that is built is in an index beside it, at its tag with a suffix.
// The index has the image of each platform, and a manifest with the provenance whose subject is
// that image. So the digest of the image does not depend on its provenance, which has times in it.
const provenanceSuffix = ".provenance"

// attestationType is an annotation of an entry of an index. With the value attestation, the
// entry is not an image for a platform, but is about the image whose digest is in attestationOf.
const (
	attestationType = "vnd.docker.reference.type"
	attestation     = "attestation-manifest"
	attestationOf   = "vnd.docker.reference.digest"
)

// Beside returns the reference of the index with the provenance of the image at ref, a result
// of Ref.
func (r *Registry) Beside(ref string) string { return ref + provenanceSuffix }

// Publish gives the image of the index at beside the tag of ref, and returns its digest: that
// of the image itself or, if it has several platforms, of an index of them.
func (r *Registry) Publish(ctx context.Context, beside, ref string) (plan.Digest, error) {
	from, err := r.parse(beside)
	if err != nil {
		return "", err
	}
	to, err := r.parse(ref)
	if err != nil {
		return "", err
	}
	image, err := r.withoutProvenance(ctx, from)
	if err == nil {
		err = r.write(ctx, "tag "+show(to), discard, func(ctx context.Context, p *remote.Pusher) error { return p.Put(ctx, to, image) })
	}
	if err != nil {
		return "", r.explain(ctx, to, err)
	}
	return plan.Digest(image.desc.Digest.String()), nil
}

// isUnpublished reports whether a tag is that of provenance whose image has no tag in all, the
// tags of the repository, because a process died before Publish.
func isUnpublished(tag string, all []string) bool {
	of, ok := strings.CutSuffix(tag, provenanceSuffix)
	return ok && !slices.Contains(all, of) && !slices.Contains(all, of+removingSuffix)
}

// A rawIndex is an index, with its fields in the order in which BuildKit writes them.
type rawIndex struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType,omitempty"`
	Manifests     []json.RawMessage `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// withoutProvenance returns the image of an index with provenance.
func (r *Registry) withoutProvenance(ctx context.Context, from name.Reference) (manifest, error) {
	root, err := r.manifest(ctx, from, discard)
	if err != nil || !root.desc.MediaType.IsIndex() {
		return root, err
	}
	var all rawIndex
	if err := json.Unmarshal(root.raw, &all); err != nil {
		return manifest{}, &manifestError{err}
	}
	var images []v1.Descriptor
	all.Manifests = slices.DeleteFunc(all.Manifests, func(raw json.RawMessage) bool {
		var d v1.Descriptor
		err = errors.Join(err, json.Unmarshal(raw, &d))
		if d.Annotations[attestationType] == attestation {
			return true
		}
		images = append(images, d)
		return false
	})
	switch {
	case err != nil:
		return manifest{}, &manifestError{err}
	case len(images) == 0:
		return manifest{}, &manifestError{errors.New("it has no image")}
	case len(images) == 1:
		return r.manifest(ctx, from.Context().Digest(images[0].Digest.String()), discard)
	}
	if root.raw, err = json.MarshalIndent(all, "", "  "); err != nil {
		return manifest{}, err
	}
	root.desc.Digest, root.desc.Size, err = v1.SHA256(bytes.NewReader(root.raw))
	return root, err
}

// removeProvenance removes the provenance of an image at a tag, before the image: what is left
// of it would keep the blobs of the image. The provenance of a concurrent build stays.
func (p *pruning) removeProvenance(ctx context.Context, k *Kept, tag name.Tag) error {
	root, err := p.manifest(ctx, tag, discard)
	if isNotFound(err) {
		return nil
	}
	var all v1.IndexManifest
	if err == nil && json.Unmarshal(root.raw, &all) != nil {
		err = &manifestError{errors.New("it is not an index")}
	}
	if err != nil {
		return p.explain(ctx, tag, err)
	}
	parts := []v1.Hash{root.desc.Digest}
	for _, d := range all.Manifests {
		if d.Annotations[attestationType] == attestation {
			parts = append(parts, d.Digest)
		}
	}
	for _, d := range parts {
		if _, err := p.delete(ctx, k, d, p.hidden.Add(time.Second)); err != nil {
			return err
		}
	}
	// Some registries keep a tag whose manifest was deleted.
	is, err := p.head(ctx, tag, discard)
	if err != nil || is != root.desc.Digest {
		return nil
	}
	return p.untag(ctx, tag)
}
