package build

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A cnbImage is an image for one platform that buildpacks make.
type cnbImage struct {
	platform ocispecs.Platform
	builder  *cnbBuilder
	run      v1.Image // its base
	image    v1.Image // nil: it is not made yet
}

// runLayout returns the mount of the layout: the base of m without its layers, which the lifecycle does
// not read, and a file that says how the base is called. Only this directory belongs to owner.
func (m *cnbImage) runLayout(owner llb.ChownOption, shown string) (llb.State, error) {
	manifest, err := m.run.RawManifest()
	if err != nil {
		return llb.State{}, err
	}
	config, err := m.run.RawConfigFile()
	if err != nil {
		return llb.State{}, err
	}
	kind, err := m.run.MediaType()
	if err != nil {
		return llb.State{}, err
	}
	of, err := m.run.Digest()
	if err != nil {
		return llb.State{}, err
	}
	id, err := m.run.ConfigName()
	if err != nil {
		return llb.State{}, err
	}
	index, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: []v1.Descriptor{{MediaType: kind, Size: int64(len(manifest)), Digest: of}},
	})
	if err != nil {
		return llb.State{}, err
	}
	at := path.Join(cnbLayout, cnbPath(cnbRunImage))
	blobs := path.Join(at, "blobs", "sha256")
	do := llb.Mkdir(cnbLayout, 0o755, owner).Mkdir(blobs, 0o755, llb.WithParents(true))
	// The lifecycle writes beside it.
	do = do.Mkdir(path.Dir(path.Join(cnbLayout, cnbPath(cnbAppImage))), 0o755, llb.WithParents(true), owner)
	for name, content := range map[string][]byte{
		cnbRunFile:                  fmt.Appendf(nil, "[[images]]\nimage = %q\n", shown),
		path.Join(at, "oci-layout"): []byte(`{"imageLayoutVersion":"1.0.0"}`),
		path.Join(at, "index.json"): index,
		path.Join(blobs, of.Hex):    manifest,
		path.Join(blobs, id.Hex):    config,
	} {
		do = do.Mkfile(name, 0o644, content)
	}
	return llb.Scratch().File(do, llb.WithCustomName("[internal] write the configuration of the run image")), nil
}

// cnbPath returns where a layout of the lifecycle has the image of a reference.
func cnbPath(ref string) string { return strings.Replace(ref, ":", "/", 1) }

// read returns the image in the layout at a path below dir. Its first layers, which are those of the base,
// come from there; all others are compared with their digests.
func (m *cnbImage) read(dir, at string) (v1.Image, error) {
	top, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer top.Close() //nolint:errcheck // it was only read
	root, err := top.OpenRoot(filepath.FromSlash(at))
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	l := &layoutReader{root: root, seen: make(map[v1.Hash]bool)}
	raw, err := l.small(ocispecs.ImageIndexFile)
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("the layout has %d images, not one", len(index.Manifests))
	}
	if raw, err = l.content(index.Manifests[0]); err != nil {
		return nil, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if raw, err = l.content(manifest.Config); err != nil {
		return nil, err
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	base, err := m.run.Layers()
	if err != nil {
		return nil, err
	}
	if len(manifest.Layers) < len(base) {
		return nil, errors.New("the image lacks layers of the run image")
	}
	images, err := layout.ImageIndexFromPath(filepath.Join(dir, filepath.FromSlash(at)))
	if err != nil {
		return nil, err
	}
	written, err := images.Image(index.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	var layers []mutate.Addendum
	for i, d := range manifest.Layers {
		var layer v1.Layer
		if i < len(base) {
			layer = base[i]
			if is, err := layer.Digest(); err != nil || is != d.Digest {
				return nil, errors.Join(fmt.Errorf("the layer %s is not that of the run image", d.Digest), err)
			}
		} else if err = l.blob(d, io.Discard); err == nil {
			layer, err = written.LayerByDigest(d.Digest)
		}
		if err != nil {
			return nil, err
		}
		kind, err := layer.MediaType()
		if err != nil {
			return nil, err
		}
		layers = append(layers, mutate.Addendum{Layer: layer, MediaType: ociLayer(kind)})
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layers...)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, config)
}

// ociLayer returns the type of a layer in an OCI image: the content is the same.
func ociLayer(kind types.MediaType) types.MediaType {
	switch kind {
	case types.DockerLayer:
		return types.OCILayer
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	case types.DockerForeignLayer:
		return types.OCIRestrictedLayer
	}
	return kind
}
