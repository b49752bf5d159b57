package testenv

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A File is an executable file or a symbolic link in an image.
type File struct {
	Path string // without a leading slash
	Data []byte
	Link string // the target of the link; Data is not used then
}

// Image creates an image that contains the files and runs the command, and returns a
// reference to it by digest in the registry of [Registry]. A node on this
// machine can run it.
func Image(t testing.TB, repository string, files []File, command ...string) string {
	t.Helper()
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: 0o755, Size: int64(len(f.Data))}
		if f.Link != "" {
			h = &tar.Header{Typeflag: tar.TypeSymlink, Name: f.Path, Linkname: f.Link, Mode: 0o777}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if f.Link == "" {
			if _, err := w.Write(f.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config := &v1.ConfigFile{OS: "linux", Architecture: goruntime.GOARCH, Config: v1.Config{Cmd: command, Env: []string{"PATH=/bin"}}}
	config.RootFS.Type = "layers"
	diff, err := layer.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	config.RootFS.DiffIDs = []v1.Hash{diff}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	to, err := name.NewRepository(Registry(t) + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref := to.Digest(digest.String())
	if err := remote.Write(ref, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// Busybox returns a reference to an image with a shell and common tools.
// Tests cannot pull images, so it is built from Debian's busybox.
func Busybox(t testing.TB) string {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if errors.Is(err, os.ErrNotExist) {
		program, err = os.ReadFile("/usr/bin/busybox")
	}
	if err != nil {
		missing(t, "registry", errors.Join(errors.New("no busybox for images: install the package busybox-static"), err))
	}
	files := []File{{Path: "bin/busybox", Data: program}}
	for _, name := range []string{"sh", "cat", "echo", "env", "false", "httpd", "id", "ls", "nc", "sleep", "true", "wget"} {
		files = append(files, File{Path: "bin/" + name, Link: "busybox"})
	}
	return Image(t, "busybox", files, "/bin/sh")
}

// Program returns a reference to an image that runs the Go program in a directory.
func Program(t testing.TB, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", file, ".")
	build.Dir = dir
	build.Env = append(build.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, out)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return Image(t, "program-"+filepath.Base(dir), []File{{Path: "program", Data: program}}, "/program")
}

// Whole returns an error if a part of an image is missing or does not match its digest.
func Whole(ref name.Reference) error {
	image, err := remote.Image(ref)
	if err != nil {
		return err
	}
	if _, err := image.ConfigFile(); err != nil {
		return err
	}
	layers, err := image.Layers()
	for _, l := range layers {
		content, err := l.Compressed()
		if err == nil {
			_, err = io.Copy(io.Discard, content)
			err = errors.Join(err, content.Close())
		}
		if err != nil {
			return err
		}
	}
	return err
}

// LayerText returns a layer of an image that is not compressed, such as a statement about
// another image.
func LayerText(t testing.TB, image v1.Image, digest v1.Hash) string {
	t.Helper()
	layer, err := image.LayerByDigest(digest)
	if err != nil {
		t.Fatal(err)
	}
	r, err := layer.Compressed() // as it is
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
