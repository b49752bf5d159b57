package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeImage is the main function of a tool that makes images: the test binary, started with the
// kind of what it writes to $PIPE_OUTPUT.
func writeImage(kind string) error {
	output := os.Getenv("PIPE_OUTPUT")
	if to, ok := os.LookupEnv("WRITE_TO"); ok {
		output = to
	}
	image := func(platform string) (v1.Image, error) {
		content, err := os.ReadFile("main.txt")
		if err != nil {
			return nil, err
		}
		img, err := mutate.AppendLayers(empty.Image, static.NewLayer(tarOf("main.txt", content), types.DockerUncompressedLayer))
		if err != nil {
			return nil, err
		}
		file, err := img.ConfigFile()
		if err != nil {
			return nil, err
		}
		file.OS, file.Architecture, _ = strings.Cut(platform, "/")
		return mutate.ConfigFile(img, file)
	}
	here := strings.Split(os.Getenv("PIPE_PLATFORMS"), ",")[0]
	one, err := image(here)
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range []string{"linux/amd64", "linux/arm64"} {
		img, err := image(p)
		if err != nil {
			return err
		}
		of, err := v1.ParsePlatform(p)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: of}})
	}
	tag, err := name.NewTag("example.com/made:1")
	if err != nil {
		return err
	}
	inLayout := func(dir string, all ...v1.Image) error {
		to, err := layout.Write(dir, empty.Index)
		for _, img := range all {
			err = errors.Join(err, to.AppendImage(img))
		}
		return err
	}
	blob := func() (string, error) {
		digest, err := one.Digest()
		return filepath.Join(output, "blobs", "sha256", digest.Hex), err
	}
	switch kind {
	case "layout":
		return inLayout(output, one)
	case "index": // of several platforms, in the layout's index
		to, err := layout.Write(output, empty.Index)
		return errors.Join(err, to.AppendIndex(index))
	case "platforms": // the layout's index is that of the image
		_, err := layout.Write(output, index)
		return err
	case "attested": // with a statement of the tool's own
		if index, err = withStatement(index); err != nil {
			return err
		}
		to, err := layout.Write(output, empty.Index)
		return errors.Join(err, to.AppendIndex(index))
	case "two":
		other, err := image("linux/riscv64")
		return errors.Join(err, inLayout(output, one, other))
	case "named": // two images, with names as docker and others write them
		other, err := image("linux/riscv64")
		if err != nil {
			return err
		}
		to, err := layout.Write(output, empty.Index)
		return errors.Join(err,
			to.AppendImage(other, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "docker.io/library/other:1"})),
			to.AppendImage(one, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "made:1"})))
	case "named-platforms": // an image of several platforms whose index is that of the layout, beside another one
		other, err := image("linux/riscv64")
		if err != nil {
			return err
		}
		called := func(name string) layout.Option {
			return layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name})
		}
		to, err := layout.Write(output, empty.Index)
		if err := errors.Join(err, to.AppendImage(other, called("other:1"))); err != nil {
			return err
		}
		for _, p := range []string{"linux/amd64", "linux/arm64"} {
			img, err := image(p)
			if err != nil {
				return err
			}
			of, err := v1.ParsePlatform(p)
			if err := errors.Join(err, to.AppendImage(img, called("made:1"), layout.WithPlatform(*of))); err != nil {
				return err
			}
		}
		return nil
	case "none":
		return inLayout(output)
	case "archive":
		dir := filepath.Join(filepath.Dir(output), "of-the-tool")
		if err := inLayout(dir, one); err != nil {
			return err
		}
		return os.WriteFile(output, tarOfDir(dir), 0o644)
	case "docker":
		return tarball.WriteToFile(output, tag, one)
	case "gzip":
		var plain bytes.Buffer
		if err := tarball.Write(tag, one, &plain); err != nil {
			return err
		}
		file, err := os.Create(output)
		if err != nil {
			return err
		}
		zip := gzip.NewWriter(file)
		_, err = zip.Write(plain.Bytes())
		return errors.Join(err, zip.Close(), file.Close())
	case "two-docker":
		second, err := name.NewTag("example.com/other:1")
		if err != nil {
			return err
		}
		other, err := image("linux/riscv64")
		if err != nil {
			return err
		}
		return tarball.MultiWriteToFile(output, map[name.Tag]v1.Image{tag: one, second: other})
	case "nothing":
		return nil
	case "text":
		return os.WriteFile(output, []byte("no image"), 0o644)
	case "other-tar":
		return os.WriteFile(output, tarOf("readme", []byte("no image")), 0o644)
	case "directory":
		return os.Mkdir(output, 0o755)
	case "other-platform":
		img, err := image("linux/riscv64")
		return errors.Join(err, inLayout(output, img))
	case "no-platform":
		img, err := image("/")
		return errors.Join(err, inLayout(output, img))
	case "damaged":
		if err := inLayout(output, one); err != nil {
			return err
		}
		file, err := blob()
		return errors.Join(err, os.WriteFile(file, []byte("{}"), 0o644))
	case "lacks-blob":
		if err := inLayout(output, one); err != nil {
			return err
		}
		file, err := blob()
		return errors.Join(err, os.Remove(file))
	case "link": // to an image elsewhere
		dir := os.Getenv("ELSEWHERE")
		return errors.Join(inLayout(dir, one), os.Symlink(dir, output))
	case "blob-link":
		dir := os.Getenv("ELSEWHERE")
		file, err := blob()
		if err := errors.Join(err, inLayout(output, one), os.Rename(file, filepath.Join(dir, "blob"))); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(dir, "blob"), file)
	case "input":
		return errors.Join(inLayout(output, one), os.WriteFile("main.txt", []byte("by the command"), 0o644))
	}
	return fmt.Errorf("the test has no image of kind %q", kind)
}

// withStatement returns an index with a manifest that is not one of an image, as BuildKit writes attestations.
func withStatement(index v1.ImageIndex) (v1.ImageIndex, error) {
	statement, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("{}"), "application/vnd.in-toto+json"))
	if err != nil {
		return nil, err
	}
	return mutate.AppendManifests(index, mutate.IndexAddendum{Add: statement, Descriptor: v1.Descriptor{
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}}), nil
}

func tarOf(name string, content []byte) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644})
	_, _ = w.Write(content)
	_ = w.Close()
	return out.Bytes()
}

func tarOfDir(dir string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	_ = w.AddFS(os.DirFS(dir))
	_ = w.Close()
	return out.Bytes()
}
