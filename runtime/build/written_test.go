package build_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// writes is the command that writes a kind of image.
func writes(kind string) plan.BuildSpec { return commandSpec(os.Args[0], "write-image", kind) }

// TestCommandWrites tests all forms in which a command may write an image.
func TestCommandWrites(t *testing.T) {
	for _, kind := range []string{"layout", "archive", "docker", "gzip", "index", "platforms"} {
		t.Run(kind, func(t *testing.T) {
			dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
			ref := host + "/web:1"
			s := writes(kind)
			isIndex := kind == "index" || kind == "platforms"
			if isIndex {
				s.Platforms = []string{"linux/arm64", "linux/amd64"}
			}
			digest, r := mustBuild(t, commandBuilder(t, dir), s, ref)
			if got := head(t, ref); got != digest {
				t.Errorf("the registry has %s, Build returned %s", got, digest)
			}
			if text := r.text(); !strings.Contains(text, "write-image") || !strings.Contains(text, "push the image") {
				t.Errorf("the steps are not reported:\n%s", text)
			}
			to, err := name.ParseReference(ref)
			if err != nil {
				t.Fatal(err)
			}
			desc, err := remote.Get(to)
			if err != nil || desc.MediaType.IsIndex() != isIndex {
				t.Errorf("it is a %s (%v)", desc.MediaType, err)
			}
			if isIndex {
				return
			}
			layers, err := pull(t, ref).Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("%d layers, %v", len(layers), err)
			}
			content, err := layers[0].Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(content)
			if err != nil || !bytes.Equal(data, tarOf("main.txt", []byte("main"))) {
				t.Errorf("the layer is %q, %v", data, err)
			}
		})
	}
}

// TestCommandRefused tests what a command may have written instead of an image.
func TestCommandRefused(t *testing.T) {
	for kind, want := range map[string]string{
		"nothing":        "the command has written no image to $PIPE_OUTPUT",
		"text":           "the command has not written an image to $PIPE_OUTPUT: it is not a tar archive, or it is damaged",
		"other-tar":      "the archive has neither the index.json of an OCI image layout nor the manifest.json of docker",
		"directory":      "the directory is not an OCI image layout: it has no oci-layout",
		"none":           "the layout has no image",
		"two":            "the layout has 2 images: write only one, or name one with image=",
		"two-docker":     "the archive has 2 images: write only one, or name one with image=",
		"other-platform": "the image that the command has written is for linux/riscv64, not for linux/" + goruntime.GOARCH + ", which is in $PIPE_PLATFORMS",
		"no-platform":    "the configuration of the image does not say its platform",
		"damaged":        "does not match its digest",
		"lacks-blob":     "it has no blobs/sha256/",
		"link":           "it is a link that leads out of its directory",
		"blob-link":      "path escapes from parent",
	} {
		t.Run(kind, func(t *testing.T) {
			dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
			s := writes(kind)
			s.Command.Env = map[string]string{"ELSEWHERE": t.TempDir()}
			_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(runtime.Body) {})
			var wrong *runtime.BuildError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
				t.Fatalf("Build = %v, want a BuildError with %q", err, want)
			}
			if wrong.Pos != s.Pos {
				t.Errorf("it is at %v", wrong.Pos)
			}
			if advice, ok := runtime.AdviceOf(err); !ok || !strings.Contains(advice.Do, s.Pos.String()) {
				t.Errorf("the advice is %q", advice.Do)
			}
			if _, err := (testRegistry{host: host}).Resolve(t.Context(), host+"/web:1"); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("Resolve = %v", err)
			}
		})
	}
}

// TestCommandOutput tests a command that writes to a place of its own in the source: it is not one of
// the inputs.
func TestCommandOutput(t *testing.T) {
	dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
	b := commandBuilder(t, dir)
	s := writes("layout")
	s.Command.Output, s.Command.Env = "out/image", map[string]string{"WRITE_TO": "out/image"}
	before := identify(t, dir, s)
	mustBuild(t, b, s, host+"/web:1")
	if after := identify(t, dir, s); after != before {
		t.Errorf("the identity depends on the output")
	}
	s = writes("link")
	s.Command.Output, s.Command.Env = "out/link", map[string]string{"WRITE_TO": "out/link", "ELSEWHERE": t.TempDir()}
	if _, err := b.Build(t.Context(), s, host+"/web:2", func(runtime.Body) {}); err == nil || !strings.Contains(err.Error(), "leads out of its directory") {
		t.Errorf("Build = %v", err)
	}
}

// TestCommandStale: an image that an earlier run has left at the output is not taken for one of this
// run, and nothing else is removed.
func TestCommandStale(t *testing.T) {
	for _, kind := range []string{"layout", "docker", "gzip", "link"} {
		t.Run(kind, func(t *testing.T) {
			dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
			b := commandBuilder(t, dir)
			s := writes(kind)
			s.Command.Output, s.Command.Env = "out/image", map[string]string{"WRITE_TO": "out/image", "ELSEWHERE": t.TempDir()}
			if err := os.Mkdir(filepath.Join(dir, "web", "out"), 0o700); err != nil {
				t.Fatal(err)
			}
			_, err := b.Build(t.Context(), s, host+"/web:1", func(runtime.Body) {})
			if (err == nil) != (kind != "link") {
				t.Fatal(err)
			}
			s.Command.Args[2] = "nothing"
			_, err = b.Build(t.Context(), s, host+"/web:2", func(runtime.Body) {})
			if err == nil || !strings.HasSuffix(err.Error(), "the command has written no image to out/image") {
				t.Errorf("Build = %v", err)
			}
		})
	}
	dir, host := workspace(t, files{"web/main.txt": "main", "web/src/main.txt": "not an image"}), images(t)
	for _, output := range []string{"main.txt", "src"} {
		s := writes("nothing")
		s.Command.Output = output
		if _, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(runtime.Body) {}); err == nil || !strings.Contains(err.Error(), "has not written an image to "+output) {
			t.Errorf("Build = %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "web", output)); err != nil {
			t.Error(err)
		}
	}
}

// TestCommandNamed tests a command that writes several images.
func TestCommandNamed(t *testing.T) {
	for _, test := range []struct{ kind, image, want string }{ // want: the platforms, or an error
		{"named", "made:1", "linux/" + goruntime.GOARCH},
		{"named", "docker.io/library/made:1", "linux/" + goruntime.GOARCH},
		{"named", "other:1", "the image that the command has written is for linux/riscv64"},
		{"named", "no:1", "the layout has no image no:1, only docker.io/library/other:1, made:1"},
		{"two", "made:1", "the layout has no image made:1: its images have no names"},
		{"two-docker", "example.com/made:1", "linux/" + goruntime.GOARCH},
		{"two-docker", "example.com/made", "the archive has no image example.com/made, only example.com/made:1, example.com/other:1"},
		{"named-platforms", "made:1", "linux/amd64 linux/arm64"},
	} {
		dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
		s := writes(test.kind)
		s.Command.Image = test.image
		if test.kind == "named-platforms" {
			s.Platforms = []string{"linux/amd64", "linux/arm64"}
		}
		_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(runtime.Body) {})
		if !strings.HasPrefix(test.want, "linux/") {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %s: Build = %v, want %s", test.kind, test.image, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, %s: %v", test.kind, test.image, err)
			continue
		}
		to, err := name.ParseReference(host + "/web:1")
		if err != nil {
			t.Fatal(err)
		}
		desc, err := remote.Get(to)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if desc.MediaType.IsIndex() {
			index, err := desc.ImageIndex()
			if err != nil {
				t.Fatal(err)
			}
			list, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range list.Manifests {
				got = append(got, d.Platform.String())
			}
		} else {
			file, err := pull(t, host+"/web:1").ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, file.Platform().String())
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%s, %s: the image is for %s, want %s", test.kind, test.image, text, test.want)
		}
	}
}
