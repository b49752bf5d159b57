package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/buildkit/util/attestation"
	"github.com/opencontainers/go-digest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

// A madeImage is an image for a platform that pipe pushes itself: that of a Go program, one that buildpacks
// have made, or one that a command has written.
type madeImage struct {
	image    v1.Image
	platform *v1.Platform
	packages []sbom.Package    // nil: it has no SBOM
	unknown  error             // why the packages are not known; usually nil
	tools    map[string]string // versions of the programs that have made it, by name
	took     []material        // what took part, besides what all platforms have in common
}

// pushable returns one image as it is, and several as an index.
func pushable(all []madeImage) remote.Taggable {
	if len(all) == 1 {
		return all[0].image
	}
	return indexOf(all)
}

// indexOf returns an index of images.
func indexOf(all []madeImage) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, made := range all {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: made.image, Descriptor: v1.Descriptor{Platform: made.platform}})
	}
	return index
}

// imagesIn returns the images for each platform of an image that a command has written.
func imagesIn(image remote.Taggable) ([]madeImage, error) {
	var all []madeImage
	seen := make(map[v1.Hash]bool)
	one := func(image v1.Image) error {
		config, err := image.ConfigFile()
		if err != nil {
			return err
		}
		all = append(all, madeImage{image: image, platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}})
		return nil
	}
	var within func(index v1.ImageIndex) error
	within = func(index v1.ImageIndex) error {
		manifest, err := index.IndexManifest()
		if err != nil {
			return err
		}
		for _, d := range manifest.Manifests {
			if seen[d.Digest] || d.Platform != nil && d.Platform.OS == "unknown" { // an attestation of the command's own
				continue
			}
			seen[d.Digest] = true
			if d.MediaType.IsIndex() {
				child, err := index.ImageIndex(d.Digest)
				if err == nil {
					err = within(child)
				}
				if err != nil {
					return err
				}
				continue
			}
			child, err := index.Image(d.Digest)
			if err != nil {
				return err
			}
			of, err := child.Manifest()
			if err == nil && isConfig(of.Config.MediaType) {
				err = one(child)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	switch image := image.(type) {
	case v1.Image:
		return all, one(image)
	case v1.ImageIndex:
		return all, within(image)
	}
	return nil, fmt.Errorf("it is a %T", image)
}

// A predicate is what a statement of in-toto says about an image.
type predicate struct {
	kind    string // its type, a URI
	content any    // as JSON
}

// statement returns the statement that the image with a digest has a predicate, as JSON.
func (p predicate) statement(name string, of v1.Hash) ([]byte, error) {
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	to.SetEscapeHTML(false)
	type subject struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	}
	err := to.Encode(struct {
		Type          string    `json:"_type"`
		PredicateType string    `json:"predicateType"`
		Subject       []subject `json:"subject"`
		Predicate     any       `json:"predicate"`
	}{"https://in-toto.io/Statement/v1", p.kind, []subject{{name, map[string]string{of.Algorithm: of.Hex}}}, p.content})
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// attestationManifest is the type of a manifest with attestations, as BuildKit writes it.
const attestationManifest = "application/vnd.docker.attestation.manifest.v1+json"

// attestedIndex returns an index of images with the predicates of each, as BuildKit writes it.
func attestedIndex(name string, all []madeImage, predicates func(of madeImage, digest plan.Digest) ([]predicate, error)) (v1.ImageIndex, error) {
	index := indexOf(all)
	for _, made := range all {
		subject, err := partial.Descriptor(made.image)
		if err != nil {
			return nil, err
		}
		said, err := predicates(made, plan.Digest(subject.Digest.String()))
		if err != nil {
			return nil, err
		}
		var layers []mutate.Addendum
		for _, p := range said {
			statement, err := p.statement(name, subject.Digest)
			if err != nil {
				return nil, err
			}
			layers = append(layers, mutate.Addendum{
				Layer: static.NewLayer(statement, sbom.InTotoType), Annotations: map[string]string{"in-toto.io/predicate-type": p.kind},
			})
		}
		attestations, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), attestationManifest), layers...)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: mutate.Subject(attestations, *subject).(v1.Image), Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{
				attestation.DockerAnnotationReferenceType:   attestation.DockerAnnotationReferenceTypeDefault,
				attestation.DockerAnnotationReferenceDigest: subject.Digest.String(),
			},
		}})
	}
	return index, nil
}

// pushMade pushes an image of r, and beside it what is known about made, its images for each platform; nil:
// they are those in the image.
func (b *Builder) pushMade(ctx context.Context, r *programs, image remote.Taggable, k making, made []madeImage, ref string, emit runtime.Emit) (pushed plan.Digest, err error) {
	k.ended = time.Now()
	err = r.step("push the image", func(digest.Digest) error {
		warn := b.attach(ctx, k, image, made, ref, emit) // first, so that an image that has its own reference is complete
		if pushed, err = b.opts.Push(ctx, ref, image, emit); err == nil {
			warn()
		}
		return err
	})
	return pushed, err
}

// attach pushes the provenance of the images (I12), and the SBOMs of those whose packages are known (I13),
// beside ref. It returns a function that warns if that has failed, for when the image itself has been pushed.
func (b *Builder) attach(ctx context.Context, k making, image remote.Taggable, made []madeImage, ref string, emit runtime.Emit) (warn func()) {
	if b.opts.Attest.Beside == nil {
		return func() {}
	}
	var err, unknown error
	if made == nil {
		made, err = imagesIn(image)
	}
	lacks := "provenance"
	for _, m := range made {
		if m.packages != nil {
			lacks = "provenance and no SBOM"
		}
		if unknown == nil {
			unknown = m.unknown
		}
	}
	var index v1.ImageIndex
	if err == nil {
		index, err = attestedIndex(k.spec.ID, made, func(of madeImage, digest plan.Digest) ([]predicate, error) {
			said := []predicate{{provenanceType, k.provenance(of)}}
			if of.packages == nil || of.unknown != nil {
				return said, nil
			}
			packages, err := sbom.Predicate(k.spec.ID, digest, of.packages)
			return append(said, predicate{sbom.SPDXPredicate, packages}), err
		})
	}
	const complete = "the image is complete without it"
	hint := complete
	if err == nil {
		if _, err = b.opts.Push(ctx, b.opts.Attest.Beside(ref), index, emit); err != nil {
			err = fmt.Errorf("it cannot be attached: %w", err)
			hint += "; it needs a registry that accepts an OCI image index"
		}
	}
	return func() {
		if err != nil {
			job{spec: k.spec}.warn(emit, lacks, err.Error(), hint)
		}
		if unknown != nil {
			job{spec: k.spec}.warn(emit, "SBOM", unknown.Error(), complete)
		}
	}
}
