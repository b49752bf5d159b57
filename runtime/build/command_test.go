package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
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

// commandSpec is the build of the directory web of a workspace by a command.
func commandSpec(args ...string) plan.BuildSpec {
	s := spec("web")
	s.Dockerfile, s.Command = "", &plan.BuildCommand{Args: args}
	return s
}

// writes is the command that writes a kind of image.
func writes(kind string) plan.BuildSpec { return commandSpec(os.Args[0], "write-image", kind) }

// commandBuilder returns a builder for commands, which pushes what they write.
func commandBuilder(t testing.TB, dir string) *build.Builder {
	t.Helper()
	b := build.New(build.Options{
		Dir: dir, CacheDir: t.TempDir(), Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere"},
		Pull: func(ctx context.Context, ref string) (*remote.Descriptor, error) {
			from, err := name.ParseReference(ref)
			if err != nil {
				return nil, err
			}
			return remote.Get(from, remote.WithContext(ctx))
		},
		Push: func(ctx context.Context, ref string, image remote.Taggable, _ runtime.Emit) (plan.Digest, error) {
			to, err := name.ParseReference(ref)
			if err != nil {
				return "", err
			}
			raw, err := image.RawManifest()
			if err != nil {
				return "", err
			}
			pusher, err := remote.NewPusher(remote.WithContext(ctx))
			if err != nil {
				return "", err
			}
			return plan.DigestOf(raw), pusher.Push(ctx, to, image)
		},
	})
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestCommandBuilder runs the contract tests of all builders with commands.
func TestCommandBuilder(t *testing.T) {
	dir, host := workspace(t, files{}), images(t)
	sh := func(script string) func(*testing.T) plan.BuildSpec {
		return func(t *testing.T) plan.BuildSpec {
			s := commandSpec("/bin/sh", "-c", script)
			s.ID = runtimetest.Unique("source")
			s.Source.Path = s.ID
			files{s.ID + "/main.txt": s.ID}.write(t, dir)
			return s
		}
	}
	runtimetest.TestBuilder(t, runtimetest.BuilderTest{
		Builder:  commandBuilder(t, dir),
		Registry: testRegistry{host: host},
		Spec:     sh(os.Args[0] + " write-image layout"),
		Change: func(t *testing.T, s plan.BuildSpec) {
			files{s.Source.Path + "/main.txt": "changed"}.write(t, dir)
		},
		Broken: sh("echo it breaks here; exit 3"),
		Slow:   sh("sleep 600 & sleep 600"),
	})
}

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

// TestCommandGit tests a command that makes the image of a commit: it runs in a copy, so that what it
// writes does not change the checkout, and the image depends on the commit alone.
func TestCommandGit(t *testing.T) {
	repo, host := newRepository(t), images(t)
	files{"web/tool*": "#!/bin/sh\ncat main.txt; test -L link || exit 1; echo changed > main.txt; echo new > new.txt; exec \"$1\" write-image layout\n", "web/main.txt": "first\n"}.write(t, repo.dir)
	if err := os.Symlink("main.txt", filepath.Join(repo.dir, "web", "link")); err != nil {
		t.Fatal(err)
	}
	first := repo.commit(nil)
	second := repo.commit(files{"other": "x"})
	url := repo.serve("").url
	s := commandSpec("./tool", os.Args[0])
	s.Source.Git, s.Source.Ref = url, "main"
	b := commandBuilder(t, t.TempDir())
	id, err := b.Identify(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // the second time as if nothing had happened
		_, r := mustBuild(t, b, s, fmt.Sprintf("%s/web:%d", host, i))
		if text := r.text(); !strings.Contains(text, "first") || strings.Contains(text, "changed") {
			t.Errorf("the command has printed\n%s", text)
		}
	}
	s.Source.Ref = second
	if got, err := b.Identify(t.Context(), s); err != nil || got != id {
		t.Errorf("the identity of the commit is %s, that of the branch %s (%v)", got, id, err)
	}
	s.Source.Ref = first
	if got, err := b.Identify(t.Context(), s); err != nil || got == id {
		t.Errorf("the identity of another commit is the same (%v)", err)
	}
	s.Source.Path = "nope"
	if _, err := b.Build(t.Context(), s, host+"/web:3", func(runtime.Body) {}); err == nil || !strings.Contains(err.Error(), "there is no directory nope, the build context in "+first+" of "+url) {
		t.Errorf("Build = %v", err)
	}
}

// TestCommandPrintsPassword: passwords in URLs that a program prints are redacted, also in errors.
func TestCommandPrintsPassword(t *testing.T) {
	dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
	var events []string
	_, err := commandBuilder(t, dir).Build(t.Context(), commandSpec("/bin/sh", "-c", "cat main.txt; echo fetch https://me:hunter2@example.com/x; exit 1"), host+"/web:1", func(e runtime.Body) {
		events = append(events, fmt.Sprintf("%+v", e))
	})
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) || !strings.Contains(strings.Join(wrong.Log, "\n"), "fetch https://REDACTED@example.com/x") {
		t.Fatalf("Build = %v", err)
	}
	if text := strings.Join(append(append(events, wrong.Log...), err.Error()), "\n"); strings.Contains(text, "hunter2") {
		t.Errorf("the password is in\n%s", text)
	}
}

// TestCommandEnvironment tests what a command gets: the variables of the process that builds are not
// among it.
func TestCommandEnvironment(t *testing.T) {
	t.Setenv("TOKEN", "secret-of-pipe")
	dir, host := workspace(t, files{"web/tool*": "#!/bin/sh\nenv; pwd; echo \"args $*\"\nexit 1\n"}), images(t)
	s := commandSpec("./tool", "--to=$(PIPE_OUTPUT)", "$(PIPE_PLATFORMS)", "$(HOME)", "$PIPE_OUTPUT")
	s.Command.Env = map[string]string{"MODE": "release", "HOME": "/home/of-the-build"}
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(runtime.Body) {})
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	log := strings.Join(wrong.Log, "\n")
	for _, want := range []string{"MODE=release", "HOME=/home/of-the-build", "PATH=", "PIPE_PLATFORMS=linux/amd64,linux/arm64", "PIPE_OUTPUT=/", "/web\n", "linux/amd64,linux/arm64 $(HOME) $PIPE_OUTPUT"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	if strings.Contains(log, "TOKEN") || strings.Contains(log, "--to=$(PIPE_OUTPUT)") || strings.Contains(log, "/nowhere") {
		t.Errorf("the environment is\n%s", log)
	}
	if wrong.Err.Error() != "exit status 1" {
		t.Errorf("the error is %v", wrong.Err)
	}
}

// TestCommandProgram tests programs that cannot be run.
func TestCommandProgram(t *testing.T) {
	dir, host := workspace(t, files{"web/plain": "x", "web/no-interpreter*": "echo x", "web/other-interpreter*": "#!/no/such\n"}), images(t)
	for program, want := range map[string]string{
		"./no-interpreter":       "./no-interpreter is not a program for this machine: the first line of a script names its interpreter",
		"./other-interpreter":    "the interpreter of ./other-interpreter does not exist",
		"./absent":               "there is no file ./absent",
		"./plain":                "./plain cannot be executed: make it executable with chmod +x",
		"pipe-test-no-such-tool": "the program pipe-test-no-such-tool is not in the PATH",
	} {
		_, err := commandBuilder(t, dir).Build(t.Context(), commandSpec(program), host+"/web:1", func(runtime.Body) {})
		var wrong *runtime.BuildError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("Build with %s = %v, want %q", program, err, want)
		}
	}
}

// TestCommandInputs tests the warning about inputs= that match no file.
func TestCommandInputs(t *testing.T) {
	dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
	for pattern, want := range map[string]string{
		"main.*": "",
		"src/**": "no file matches the inputs of the image of web, which is not built again when a file changes",
	} {
		s, got := writes("layout"), ""
		s.Command.Inputs = []string{pattern}
		_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(e runtime.Body) {
			if w, ok := e.(runtime.Warned); ok {
				got += w.Diagnostic.Message
			}
		})
		if err != nil || got != want {
			t.Errorf("Build with %s = %v, with the warning %q", pattern, err, got)
		}
	}
}

// TestCommandChanged tests a command that changes what its image depends on.
func TestCommandChanged(t *testing.T) {
	dir, host := workspace(t, files{"web/main.txt": "main", "web/other.txt": ""}), images(t)
	b := commandBuilder(t, dir)
	_, err := b.Build(t.Context(), writes("input"), host+"/web:1", func(runtime.Body) {})
	if !errors.Is(err, runtime.ErrConflict) || !strings.Contains(err.Error(), "main.txt changed while the program ran") {
		t.Errorf("Build = %v", err)
	}
	s := writes("input")
	s.Command.Inputs = []string{"other.txt"}
	mustBuild(t, b, s, host+"/web:1")
}

// An identityChange is a change of a build or of its files.
type identityChange struct {
	what   string
	change func(*plan.BuildSpec)
	files  files
	same   bool // the identity of the image is the same
}

// compareIdentities compares the identities of changed builds with that of the unchanged one, which
// it returns.
func compareIdentities(t *testing.T, identity func(change func(*plan.BuildSpec), add files) plan.Digest, changes []identityChange) plan.Digest {
	t.Helper()
	base := identity(nil, nil)
	for _, c := range changes {
		if got := identity(c.change, c.files); (got == base) != c.same {
			t.Errorf("%s: same = %v, want %v", c.what, got == base, c.same)
		}
	}
	return base
}

// TestCommandIdentity tests what changes the identity of an image that a command makes.
func TestCommandIdentity(t *testing.T) {
	content := files{"web/src/a.go": "a", "web/src/gen/b.go": "b", "web/readme": "r", "web/.dockerignore": "readme\n"}
	make := func(change func(*plan.BuildSpec), add files) plan.Digest {
		dir := workspace(t, content)
		add.write(t, dir)
		s := commandSpec("make", "image")
		if change != nil {
			change(&s)
		}
		return identify(t, dir, s)
	}
	inputs := func(patterns ...string) func(*plan.BuildSpec) {
		return func(s *plan.BuildSpec) { s.Command.Inputs = patterns }
	}
	base := compareIdentities(t, make, []identityChange{
		{what: "nothing", same: true},
		{what: "an ignored file", files: files{"web/readme": "new"}, same: true},
		{what: "a file", files: files{"web/src/a.go": "new"}},
		{what: "the command", change: func(s *plan.BuildSpec) { s.Command.Args = []string{"make", "other"} }},
		{what: "how arguments are split", change: func(s *plan.BuildSpec) { s.Command.Args = []string{"make image"} }},
		{what: "a variable", change: func(s *plan.BuildSpec) { s.Command.Env = map[string]string{"A": ""} }},
		{what: "the name of one of several images", change: func(s *plan.BuildSpec) { s.Command.Image = "web:1" }},
		{what: "the output", change: func(s *plan.BuildSpec) { s.Command.Output = "out" }},
		{what: "the platforms", change: func(s *plan.BuildSpec) { s.Platforms = []string{"linux/riscv64"} }},
	})
	if got := make(inputs("**"), nil); got == base {
		t.Errorf("with inputs, .dockerignore applies")
	}
	some := make(inputs("src/**", "!src/gen"), nil)
	for what, test := range map[string]struct {
		files files
		same  bool
	}{
		"a file that is left out": {files{"web/src/gen/b.go": "new", "web/readme": "new", "web/.dockerignore": ""}, true},
		"a file":                  {files{"web/src/a.go": "new"}, false},
		"a new file":              {files{"web/src/deep/c.go": ""}, false},
	} {
		if got := make(inputs("src/**", "!src/gen"), test.files); (got == some) != test.same {
			t.Errorf("inputs, %s: same = %v, want %v", what, got == some, test.same)
		}
	}
}

// running reports whether a process is running whose arguments contain the word.
func running(t *testing.T, word string) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Fatal("this system has no /proc, which lists the processes: the test needs Linux")
	}
	for _, file := range all {
		data, err := os.ReadFile(file)
		if err == nil && bytes.Contains(data, []byte(word)) {
			return true
		}
	}
	return false
}

// gone waits until no such process is running.
func gone(t *testing.T, word string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); running(t, word); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a process with %s still runs", word)
		}
	}
}

// TestCommandEnds tests that nothing that a command has started is left.
func TestCommandEnds(t *testing.T) {
	word := func() string { return fmt.Sprintf("6%d", time.Now().UnixNano()) } // seconds of sleep
	dir, host := workspace(t, files{"web/main.txt": "main"}), images(t)
	b := commandBuilder(t, dir)
	t.Run("at its end", func(t *testing.T) {
		w := word()
		mustBuild(t, b, commandSpec("/bin/sh", "-c", "sleep "+w+" & "+os.Args[0]+" write-image layout"), host+"/web:1")
		gone(t, w)
	})
	t.Run("when it is cancelled", func(t *testing.T) {
		w := word()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("interrupted")
		_, err := b.Build(ctx, commandSpec("/bin/sh", "-c", "sleep "+w+" & echo started; wait"), host+"/web:2", func(e runtime.Body) {
			if l, ok := e.(runtime.Log); ok && l.Text == "started" {
				cancel(why)
			}
		})
		if !errors.Is(err, why) {
			t.Errorf("Build = %v", err)
		}
		gone(t, w)
	})
	t.Run("when the process that builds is killed", func(t *testing.T) {
		w, temp := word(), t.TempDir()
		builder := exec.Command(os.Args[0], "-test.run=^TestCommandKilled$")
		builder.Env = append(os.Environ(), "PIPE_TEST_WORD="+w, "TMPDIR="+temp)
		out, err := builder.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := builder.Start(); err != nil {
			t.Fatal(err)
		}
		for seen := ""; !strings.Contains(seen, "started"); {
			buf := make([]byte, 1000)
			n, err := out.Read(buf)
			if seen += string(buf[:n]); err != nil {
				t.Fatalf("the builder ended: %s", seen)
			}
		}
		if !running(t, w) {
			t.Error("the command does not run")
		}
		_ = builder.Process.Kill()
		_ = builder.Wait()
		gone(t, w)
		left := func() int {
			all, err := filepath.Glob(filepath.Join(temp, "pipe-build-[0-9]*"))
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		if n := left(); n != 2 { // a directory and its lock
			t.Errorf("%d files are left", n)
		}
		t.Setenv("TMPDIR", temp)
		mustBuild(t, commandBuilder(t, dir), commandSpec("/bin/sh", "-c", os.Args[0]+" write-image layout"), host+"/web:3")
		if n := left(); n != 0 {
			t.Errorf("%d files are left by the next build", n)
		}
	})
}

// TestCommandKilled is a process that TestCommandEnds kills.
func TestCommandKilled(t *testing.T) {
	w := os.Getenv("PIPE_TEST_WORD")
	if w == "" {
		return
	}
	dir := workspace(t, files{"web/main.txt": "main"})
	_, err := commandBuilder(t, dir).Build(t.Context(), commandSpec("/bin/sh", "-c", "(sleep "+w+" & wait) & echo started; wait"), "localhost:1/web:1", func(e runtime.Body) {
		if l, ok := e.(runtime.Log); ok {
			fmt.Println(l.Text)
		}
	})
	t.Error(err)
}
