package build

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"

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

// A madeImage is an image for a platform that pipe knows the packages of: that of a Go program, or one that
// buildpacks have made.
type madeImage struct {
	image    v1.Image
	platform *v1.Platform
	packages []sbom.Package
	unknown  error // why the packages are not known
}

// goPackages returns the modules that the program in a file is compiled from, as the Go command has
// noted them in it, and its base image.
func goPackages(file string, bases []runtime.BaseImage) ([]sbom.Package, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(info.GoVersion, " ") // without the experiments
	all := []sbom.Package{{Name: "stdlib", Version: version, PURL: goPURL("stdlib", strings.TrimPrefix(version, "go"))}}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == "" { // the program is not in a module
			continue
		}
		of := m
		if m.Replace != nil {
			of = m.Replace
		}
		if of.Version == "" || of.Version == "(devel)" { // it is a directory of the source
			all = append(all, sbom.Package{Name: m.Path})
			continue
		}
		all = append(all, sbom.Package{Name: of.Path, Version: of.Version, PURL: goPURL(of.Path, of.Version)})
	}
	return append(all, packagesOfBases(bases)...), nil
}

// packagesOfBases returns base images as packages of the image that was made of them.
func packagesOfBases(bases []runtime.BaseImage) []sbom.Package {
	var all []sbom.Package
	for _, base := range bases {
		name, _, _ := plan.CutImage(base.Image)
		all = append(all, sbom.Package{Name: base.Image, Version: string(base.Digest), PURL: sbom.ImagePURL(name, base.Digest)})
	}
	return all
}

func goPURL(path, version string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	return "pkg:golang/" + strings.Join(segments, "/") + "@" + url.QueryEscape(version)
}

// attestationManifest is the type of a manifest with attestations, as BuildKit writes it.
const attestationManifest = "application/vnd.docker.attestation.manifest.v1+json"

// withSBOMs returns an index of images with the SBOM of each, as BuildKit writes it. It depends on the
// images alone.
func withSBOMs(of string, all []madeImage) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, made := range all {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: made.image, Descriptor: v1.Descriptor{Platform: made.platform}})
	}
	for _, made := range all {
		if made.unknown != nil {
			return nil, made.unknown
		}
		subject, err := partial.Descriptor(made.image)
		if err != nil {
			return nil, err
		}
		statement, err := sbom.Statement(of, plan.Digest(subject.Digest.String()), made.packages)
		if err != nil {
			return nil, err
		}
		attestations, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), attestationManifest), mutate.Addendum{
			Layer: static.NewLayer(statement, sbom.InTotoType), Annotations: map[string]string{"in-toto.io/predicate-type": sbom.SPDXPredicate},
		})
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

// pushMade pushes an image of r, and the SBOMs of made beside it.
func (b *Builder) pushMade(ctx context.Context, r *programs, image remote.Taggable, made []madeImage, ref string, emit runtime.Emit) (pushed plan.Digest, err error) {
	err = r.step("push the image", func(digest.Digest) error {
		warn := b.attachSBOMs(ctx, r.spec, made, ref, emit) // first, so that an image that has its own reference is complete
		if pushed, err = b.opts.Push(ctx, ref, image, emit); err == nil {
			warn()
		}
		return err
	})
	return pushed, err
}

// attachSBOMs pushes the SBOMs of the images of spec beside ref (I13). It returns a function that warns if
// that has failed, for when the image itself has been pushed.
func (b *Builder) attachSBOMs(ctx context.Context, spec plan.BuildSpec, made []madeImage, ref string, emit runtime.Emit) (warn func()) {
	if b.opts.Attest.Beside == nil || len(made) == 0 {
		return func() {}
	}
	const hint = "the image is complete without it"
	index, err := withSBOMs(spec.ID, made)
	if err != nil {
		return func() { job{spec: spec}.warn(emit, "SBOM", err.Error(), hint) }
	}
	_, err = b.opts.Push(ctx, b.opts.Attest.Beside(ref), index, emit)
	return func() {
		if err != nil {
			job{spec: spec}.warn(emit, "SBOM", fmt.Sprintf("it cannot be attached: %v", err), hint+"; it needs a registry that accepts an OCI image index")
		}
	}
}
