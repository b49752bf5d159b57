package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/plan"
)

// An Attachment is a document that is attached to an image, such as an SBOM, or a statement of in-toto
// in its envelope. Its content was not checked.
type Attachment struct {
	// Platform is the one of the image that it is about, such as "linux/arm64"; empty: all.
	Platform string
	Data     []byte
}

// Attachments are the documents that are attached to an image.
type Attachments struct {
	All []Attachment
	// Platforms are those of an image with several platforms; otherwise none.
	Platforms []string
	// Subjects are the digests of the image and of those of its platforms, with the platforms; the platform
	// of the image itself is empty. A statement about something else is not about the image.
	Subjects map[plan.Digest]string
	// Errs say which documents could not be read, and why. They name no credentials.
	Errs []error
}

// Limits for one image: anybody who may push to its repository can attach something.
const (
	maxAttachments = 200 // manifests
	maxTogether    = 4   // the size of all documents, as a multiple of the maximum for one
)

// The types of layers that have a document in them, besides those that name a format of SBOMs.
const (
	inTotoType   = "application/vnd.in-toto+json"
	envelopeType = "application/vnd.dsse.envelope.v1+json"
	bundleType   = "application/vnd.dev.sigstore.bundle"
)

// The annotations of a layer that name the type of the predicate of its statement.
var predicateTypes = []string{"in-toto.io/predicate-type", "predicateType"}

// Attachments reads what is attached to an image of any registry, which is named by digest: what is in
// the index beside an image that pipe has built, and in an index as BuildKit writes it; what the registry
// lists as referring to the image and to those of its platforms; and what has the tags of cosign. Of
// statements with an annotation, only those are read whose type of predicate is wanted. Documents of
// more than max bytes are not read, nor is more than four times max in all; Errs then says so.
func (r *Registry) Attachments(ctx context.Context, byDigest string, max int64, wanted func(predicateType string) bool) (*Attachments, error) {
	image, err := r.parse(byDigest)
	if err != nil {
		return nil, err
	}
	f, at, err := r.find(ctx, image, discard)
	if err != nil {
		return nil, r.explainFound(ctx, at, err)
	}
	c := &copier{registry: r, from: f.sources[0].Context(), emit: discard, image: show(image), transfer: newTransfer("", nil, discard)}
	a := &attaching{copier: c, max: max, wanted: wanted, seen: map[v1.Hash]bool{}}
	a.Subjects = map[plan.Digest]string{}
	err = a.read(ctx, f.digest)
	if err == nil && len(a.All)+len(a.Errs) == 0 && r.own(c.from) {
		// Not every registry lists what refers to an image. To find its tag takes a request for each
		// image in the repository.
		identity, failed := r.identity(ctx, c.from, f.digest, provenanceSuffix)
		if failed != nil {
			return nil, failed
		}
		if identity != "" {
			err = a.beside(ctx, f.digest, identity)
		}
	}
	if err != nil {
		var upstream *upstreamError
		if errors.As(err, &upstream) && upstream.listing {
			return nil, fmt.Errorf("image %s: %w", c.image, r.unlisted(ctx, upstream.ref, err))
		}
		return nil, r.explain(ctx, f.sources[0], err)
	}
	return &a.Attachments, nil
}

// An attaching is one call of Attachments.
type attaching struct {
	Attachments
	*copier
	max    int64
	size   int64 // of all documents
	wanted func(string) bool

	order []v1.Hash        // of Subjects
	seen  map[v1.Hash]bool // manifests that were read
}

// read reads what is in the index of an image, and what refers to it and its parts.
func (a *attaching) read(ctx context.Context, digest v1.Hash) error {
	tags, err := a.tags(ctx, digest)
	if err != nil {
		return err
	}
	attached, err := a.index(ctx, a.from.Digest(digest.String()), digest)
	if err != nil {
		return err
	}
	for _, of := range a.order {
		f := &found{digest: of}
		if err := a.find(ctx, f, tags); err != nil {
			return err
		}
		for _, d := range f.listed {
			attached = append(attached, about{d.Digest, a.Subjects[plan.Digest(of.String())]})
		}
		for _, t := range f.tagged {
			attached = append(attached, about{t.digest, a.Subjects[plan.Digest(of.String())]})
		}
	}
	return a.manifests(ctx, attached)
}

// beside reads what is in the index beside an image that pipe has built.
func (a *attaching) beside(ctx context.Context, digest v1.Hash, identity string) error {
	attached, err := a.index(ctx, a.from.Tag(identity+provenanceSuffix), digest)
	if isNotFound(err) { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	return a.manifests(ctx, attached)
}

// manifests reads the documents of manifests, each once.
func (a *attaching) manifests(ctx context.Context, attached []about) error {
	for _, d := range attached {
		if a.seen[d.digest] {
			continue
		}
		a.seen[d.digest] = true
		if len(a.seen) > maxAttachments {
			a.Errs = append(a.Errs, fmt.Errorf("more than %d manifests are attached to it: the others are not read", maxAttachments))
			break
		}
		if err := a.documents(ctx, d); err != nil {
			return err
		}
		if a.size > maxTogether*a.max {
			a.Errs = append(a.Errs, fmt.Errorf("what is attached to it has more than %d MiB: the rest is not read", maxTogether*a.max>>20))
			break
		}
	}
	return nil
}

// An about is a manifest that is about the image for a platform; an empty platform is all.
type about struct {
	digest   v1.Hash
	platform string
}

// index reads the manifest at ref, and returns the manifests with attestations of the image and its
// platforms that it lists. If it is the manifest of the image, these become subjects first.
func (a *attaching) index(ctx context.Context, ref name.Reference, image v1.Hash) (attached []about, err error) {
	root, err := a.registry.manifest(ctx, ref, discard)
	if err != nil {
		return nil, err
	}
	if root.desc.Digest == image {
		a.subject(image, "")
	}
	if !root.desc.MediaType.IsIndex() {
		return nil, nil
	}
	var all v1.IndexManifest
	if err := json.Unmarshal(root.raw, &all); err != nil {
		return nil, &manifestError{err}
	}
	platforms := make(map[string]string) // by digest
	for _, d := range all.Manifests {
		if d.Annotations[attestationType] == attestation || d.Platform == nil {
			continue
		}
		platform := d.Platform.OS + "/" + d.Platform.Architecture
		if d.Platform.Variant != "" {
			platform += "/" + d.Platform.Variant
		}
		platforms[d.Digest.String()] = platform
		if root.desc.Digest == image {
			a.Platforms = append(a.Platforms, platform)
			a.subject(d.Digest, platform)
		}
	}
	for _, d := range all.Manifests {
		of := d.Annotations[attestationOf]
		if _, ok := a.Subjects[plan.Digest(of)]; ok && d.Annotations[attestationType] == attestation {
			attached = append(attached, about{d.Digest, platforms[of]})
		}
	}
	return attached, nil
}

func (a *attaching) subject(digest v1.Hash, platform string) {
	if _, ok := a.Subjects[plan.Digest(digest.String())]; !ok {
		a.Subjects[plan.Digest(digest.String())] = platform
		a.order = append(a.order, digest)
	}
}

// documents reads the documents of a manifest.
func (a *attaching) documents(ctx context.Context, d about) error {
	ref := a.from.Digest(d.digest.String())
	wrong := func(err error) { a.Errs = append(a.Errs, fmt.Errorf("%s: %w", d.digest, err)) }
	m, err := a.registry.manifest(ctx, ref, discard)
	if isNotFound(err) {
		return nil // as after garbage collection
	}
	if err != nil {
		return err
	}
	var parsed v1.Manifest
	if err := json.Unmarshal(m.raw, &parsed); err != nil {
		wrong(errors.New("it is not a manifest"))
		return nil
	}
	for _, layer := range parsed.Layers {
		if !a.holds(layer) {
			continue
		}
		if layer.Size < 0 {
			wrong(errors.New("its size is negative"))
			continue
		}
		if layer.Size > a.max {
			wrong(fmt.Errorf("it has %d MiB, at most %d are read", layer.Size>>20, a.max>>20))
			continue
		}
		if a.size += layer.Size; a.size > maxTogether*a.max {
			return nil // see manifests
		}
		data, err := a.document(ctx, layer)
		var other *contentError
		switch {
		case isNotFound(err):
			wrong(errors.New("its content is not in the registry"))
			continue
		case errors.As(err, &other):
			wrong(other)
			continue
		case err != nil:
			return err
		}
		a.All = append(a.All, Attachment{d.platform, data})
	}
	return nil
}

// holds reports whether a layer may have a document that is wanted.
func (a *attaching) holds(layer v1.Descriptor) bool {
	for _, key := range predicateTypes {
		if t := layer.Annotations[key]; t != "" {
			return a.wanted(t)
		}
	}
	kind := string(layer.MediaType)
	return kind == inTotoType || kind == envelopeType || strings.HasPrefix(kind, bundleType) ||
		strings.Contains(kind, "spdx") || strings.Contains(kind, "cyclonedx")
}

// document reads a blob.
func (a *attaching) document(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	body := a.download(ctx, "read what is attached to "+a.image, d, 0)
	defer body.Close() //nolint:errcheck // it was only read
	return io.ReadAll(body)
}
