package build

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxManifest is the size up to which registries accept manifests.
	maxManifest = 4 << 20
	// maxDepth is how deep indexes may be nested.
	maxDepth = 4
)

// readLayout reads the image in an OCI image layout, in the directory dir below top: the only one, or
// that which is called wanted. All its content is compared with its digests.
func readLayout(top *os.Root, dir, wanted string) (remote.Taggable, []string, error) {
	root, err := top.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	l := &layoutReader{root: root, seen: make(map[v1.Hash]bool)}
	if _, err := l.small(ocispecs.ImageLayoutFile); err != nil {
		return nil, nil, fmt.Errorf("the directory is not an OCI image layout: %w", err)
	}
	raw, err := l.small(ocispecs.ImageIndexFile)
	if err != nil {
		return nil, nil, fmt.Errorf("the directory is not an OCI image layout: %w", err)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", ocispecs.ImageIndexFile, err)
	}
	all := len(index.Manifests)
	if all == 0 {
		return nil, nil, errors.New("the layout has no image")
	}
	if wanted != "" {
		if err := selectNamed(index, wanted); err != nil {
			return nil, nil, err
		}
	}
	n := len(index.Manifests)
	if n > 1 && !samePlatforms(index) {
		return nil, nil, fmt.Errorf("the layout has %d images: write only one, or name one with image=", n)
	}
	for _, d := range index.Manifests {
		if err := l.visit(d, 0); err != nil {
			return nil, nil, err
		}
	}
	if len(l.platforms) == 0 {
		return nil, nil, errors.New("the layout has no image that can be run")
	}
	images, err := layout.ImageIndexFromPath(filepath.Join(top.Name(), dir))
	if err != nil {
		return nil, nil, err
	}
	if n < all {
		images = mutate.RemoveManifests(images, func(d v1.Descriptor) bool {
			return !slices.ContainsFunc(index.Manifests, func(of v1.Descriptor) bool { return of.Digest == d.Digest })
		})
	}
	var image remote.Taggable = images // if it has several images, they are one, whose index is that of the layout
	if first := index.Manifests[0]; n == 1 && first.MediaType.IsIndex() {
		image, err = images.ImageIndex(first.Digest)
	} else if n == 1 {
		image, err = images.Image(first.Digest)
	}
	return image, l.platforms, err
}

// selectNamed leaves only the manifests of the image with a name in the index of a layout.
func selectNamed(index *v1.IndexManifest, wanted string) error {
	var has []string
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool {
		tag, full := d.Annotations[ocispecs.AnnotationRefName], d.Annotations[containerdName]
		if tag != "" && sameName(tag, wanted) || full != "" && sameName(full, wanted) {
			return false
		}
		if shown := cmp.Or(full, tag); shown != "" {
			has = append(has, shown)
		}
		return true
	})
	if len(index.Manifests) == 0 {
		return fmt.Errorf("the layout has no image %s%s", wanted, only(has))
	}
	return nil
}

// containerdName is the annotation in which docker and containerd write the full name of an image; the
// one of OCI has often only its tag.
const containerdName = "io.containerd.image.name"

// only says which names there are.
func only(names []string) string {
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return ": its images have no names"
	}
	return ", only " + strings.Join(names, ", ")
}

// sameName reports whether two names of images are the same, regardless of what docker adds to them.
func sameName(a, b string) bool {
	if a == b {
		return true
	}
	one, err := name.ParseReference(a)
	if err != nil {
		return false
	}
	other, err := name.ParseReference(b)
	return err == nil && one.Name() == other.Name()
}

// samePlatforms reports whether the manifests of an index are one image for several platforms.
func samePlatforms(index *v1.IndexManifest) bool {
	seen := make(map[string]bool)
	names := make(map[string]bool)
	for _, d := range index.Manifests {
		if d.Platform == nil {
			return false
		}
		names[d.Annotations[ocispecs.AnnotationRefName]] = true
		if d.Platform.OS == "unknown" { // an attestation
			continue
		}
		if seen[d.Platform.String()] {
			return false
		}
		seen[d.Platform.String()] = true
	}
	return len(names) == 1
}

// A layoutReader reads a layout.
type layoutReader struct {
	root      *os.Root
	seen      map[v1.Hash]bool
	platforms []string
}

// small reads a file that is not large.
func (l *layoutReader) small(name string) ([]byte, error) {
	file, err := l.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("%s has more than %d bytes", name, maxManifest)
	}
	return data, err
}

// open opens a regular file.
func (l *layoutReader) open(name string) (*os.File, error) {
	info, err := l.root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("it has no %s", name)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", name)
	}
	return l.root.Open(name)
}

// visit checks a manifest and everything that it names.
func (l *layoutReader) visit(d v1.Descriptor, depth int) error {
	if l.seen[d.Digest] {
		return nil
	}
	l.seen[d.Digest] = true
	if depth > maxDepth {
		return fmt.Errorf("its indexes are nested more than %d deep", maxDepth)
	}
	if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
		return fmt.Errorf("%s is not an image: its type is %q", d.Digest, d.MediaType)
	}
	if d.Size > maxManifest {
		return fmt.Errorf("the manifest %s has more than %d bytes", d.Digest, maxManifest)
	}
	raw, err := l.content(d)
	if err != nil {
		return err
	}
	if d.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("the index %s: %w", d.Digest, err)
		}
		for _, child := range index.Manifests {
			if err := l.visit(child, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	image, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("the manifest %s: %w", d.Digest, err)
	}
	for _, layer := range image.Layers {
		if !layer.MediaType.IsDistributable() || l.seen[layer.Digest] {
			continue
		}
		l.seen[layer.Digest] = true
		if err := l.blob(layer, io.Discard); err != nil {
			return err
		}
	}
	config, err := l.content(image.Config)
	if err != nil || !isConfig(image.Config.MediaType) || d.Platform != nil && d.Platform.OS == "unknown" {
		return err // something that belongs to an image, such as an attestation
	}
	of, err := platformOf(config)
	l.platforms = append(l.platforms, of)
	return err
}

func isConfig(t types.MediaType) bool { return t == types.OCIConfigJSON || t == types.DockerConfigJSON }

// platformOf returns the platform of the configuration of an image.
func platformOf(config []byte) (string, error) {
	file, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return "", fmt.Errorf("the configuration of the image: %w", err)
	}
	if file.OS == "" || file.Architecture == "" {
		return "", errors.New("the configuration of the image does not say its platform")
	}
	return platformName(file.OS, file.Architecture, file.Variant), nil
}

// content returns the content of a manifest or a configuration.
func (l *layoutReader) content(d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifest {
		return nil, fmt.Errorf("%s has more than %d bytes", d.Digest, maxManifest)
	}
	var data bytes.Buffer
	err := l.blob(d, &data)
	return data.Bytes(), err
}

// blob copies a blob, and compares it with its digest.
func (l *layoutReader) blob(d v1.Descriptor, to io.Writer) error {
	if d.Digest.Algorithm != "sha256" {
		return fmt.Errorf("the digest %s is not of SHA-256", d.Digest)
	}
	name := path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex)
	file, err := l.open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	h := sha256.New()
	size, err := io.Copy(io.MultiWriter(h, to), io.LimitReader(file, d.Size+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if size != d.Size || hex.EncodeToString(h.Sum(nil)) != d.Digest.Hex {
		return fmt.Errorf("the content of %s does not match its digest", name)
	}
	return nil
}

// readDocker reads the image in an archive of docker save: the only one, or that which is called
// wanted. Its layers are compared with their digests.
func readDocker(open tarball.Opener, wanted string) (remote.Taggable, []string, error) {
	list, err := tarball.LoadManifest(open)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("manifest.json: %w", err)
	case len(list) != 1 && wanted == "":
		return nil, nil, fmt.Errorf("the archive has %d images: write only one, or name one with image=", len(list))
	}
	var tag *name.Tag
	if wanted != "" {
		if list, tag, err = named(list, wanted); err != nil {
			return nil, nil, err
		}
	}
	image, err := tarball.Image(open, tag)
	if err != nil {
		return nil, nil, err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return nil, nil, err
	}
	of, err := platformOf(config)
	if err != nil {
		return nil, nil, err
	}
	file, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, nil, err
	}
	if n := len(list[0].Layers); n != len(file.RootFS.DiffIDs) {
		return nil, nil, fmt.Errorf("manifest.json names %d layers, and the configuration of the image %d", n, len(file.RootFS.DiffIDs))
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, nil, err
	}
	for i, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			return nil, nil, err
		}
		h := sha256.New()
		_, err = io.Copy(h, content)
		if err = errors.Join(err, content.Close()); err != nil {
			return nil, nil, err
		}
		if hex.EncodeToString(h.Sum(nil)) != file.RootFS.DiffIDs[i].Hex {
			return nil, nil, fmt.Errorf("the content of the layer %s does not match its digest", list[0].Layers[i])
		}
	}
	return image, []string{of}, nil
}

// named returns the image with a name in an archive of docker save, and its name there.
func named(list tarball.Manifest, wanted string) (tarball.Manifest, *name.Tag, error) {
	var has []string
	for _, d := range list {
		for _, t := range d.RepoTags {
			if sameName(t, wanted) {
				tag, err := name.NewTag(t)
				return tarball.Manifest{d}, &tag, err
			}
			has = append(has, t)
		}
	}
	return nil, nil, fmt.Errorf("the archive has no image %s%s", wanted, only(has))
}
