package local

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry"
)

const (
	// scannerName is the program pipe-sbom, which makes SBOMs inside of builders, by the protocol of BuildKit for scanners,
	// and the name of its images in a registry.
	scannerName = "pipe-sbom"
	// scannerLayout is part of the identity of such an image; it changes with how the image is made of its programs.
	scannerLayout = "pipe-sbom image 1"
)

// A scannerProgram is pipe-sbom for the builders of one architecture.
type scannerProgram struct{ arch, file string }

// scannerPrograms returns those that are installed: pipe-sbom-linux-ARCH beside pipe. It is not looked for on the PATH, as
// this machine may not be able to run it.
func scannerPrograms(executable string) (found []scannerProgram) {
	for _, arch := range []string{"amd64", "arm64", "ppc64le", "riscv64", "s390x"} {
		file := filepath.Join(filepath.Dir(executable), scannerName+"-linux-"+arch)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			found = append(found, scannerProgram{arch, file})
		}
	}
	return found
}

// storeScanner returns an image of the installed programs in the registry, by digest. It is pushed if the registry does not have one
// of the same programs.
func (r *Runtime) storeScanner(ctx context.Context, emit runtime.Emit) (string, error) {
	identity := sha256.New()
	fmt.Fprintln(identity, scannerLayout)
	content := make([][]byte, len(r.scanners))
	for i, p := range r.scanners {
		var err error
		if content[i], err = os.ReadFile(p.file); err != nil {
			return "", err
		}
		fmt.Fprintf(identity, "%s %x\n", p.arch, sha256.Sum256(content[i]))
	}
	ref := r.images.Ref(scannerName, plan.Digest(fmt.Sprintf("sha256:%x", identity.Sum(nil))))
	digest, err := r.images.Resolve(ctx, ref)
	if errors.Is(err, runtime.ErrNotFound) {
		digest, err = r.pushScanner(ctx, ref, content, emit)
	}
	if err != nil {
		return "", err
	}
	return runtime.ByDigest(ref, digest), nil
}

func (r *Runtime) pushScanner(ctx context.Context, ref string, content [][]byte, emit runtime.Emit) (plan.Digest, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, p := range r.scanners {
		image, err := imageOfScanner(p.arch, content[i])
		if err != nil {
			return "", err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.arch}}})
	}
	// With a note, as images of services have, so that pipe images prune removes the image of a former pipe.
	if err := r.images.Note(ctx, ref, registry.Made{}); err != nil {
		return "", err
	}
	return r.images.Push(ctx, ref, index, emit)
}

// imageOfScanner returns an image that has one program and runs it.
func imageOfScanner(arch string, program []byte) (v1.Image, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: scannerName, Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	of, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: arch, Config: v1.Config{Entrypoint: []string{"/" + scannerName}}, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, of)
}
