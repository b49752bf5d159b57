package build_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// goModule is a module with a program, whose packages need not be fetched.
func goModule() files {
	return files{
		"web/go.mod":             "module example.com/web\n\ngo 1.21\n",
		"web/cmd/hello/main.go":  "package main\n\nimport \"example.com/web/text\"\n\nfunc main() { println(text.Hello) }\n",
		"web/text/text.go":       "package text\n\nimport _ \"embed\"\n\n//go:embed hello.txt\nvar Hello string\n",
		"web/text/hello.txt":     "hello",
		"web/text/more_test.go":  "package text\n",
		"web/.dockerignore":      "**/*_test.go\nnotes\n",
		"web/notes":              "",
		"web/library/library.go": "package library\n",
	}
}

// goSpec is the build of the program.
func goSpec(t testing.TB) plan.BuildSpec {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache, modules, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	s := spec("web")
	s.Dockerfile, s.Go = "", &plan.GoBuild{Package: "cmd/hello", Env: map[string]string{"GOCACHE": cache, "GOMODCACHE": modules, "GOPROXY": "off"}}
	return s
}

// onBase sets the base image of a build, which it pushes.
func onBase(t testing.TB, s *plan.BuildSpec, host string, what remote.Taggable) {
	t.Helper()
	to, err := name.NewTag(host + "/mirror/base:1")
	if err != nil {
		t.Fatal(err)
	}
	pusher, err := remote.NewPusher()
	if err != nil {
		t.Fatal(err)
	}
	if err := pusher.Push(t.Context(), to, what); err != nil {
		t.Fatal(err)
	}
	raw, err := what.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	digest := plan.DigestOf(raw)
	s.ImageArgs = map[string]plan.ImageSource{plan.GoBase: {Mirror: "example.com/base:1"}}
	s.Bases = map[string]plan.Base{plan.GoBase: {Identity: digest, Ref: runtime.ByDigest(to.String(), digest)}}
}

// baseImage is an image for a platform with a file and a user.
func baseImage(t testing.TB, architecture string) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(tarOf("etc/base", []byte(architecture)), types.DockerUncompressedLayer))
	if err == nil {
		img, err = mutate.ConfigFile(img, &v1.ConfigFile{
			OS: "linux", Architecture: architecture, RootFS: mustConfig(t, img).RootFS,
			Config: v1.Config{User: "nonroot", Env: []string{"A=b"}, Cmd: []string{"/bin/sh"}, Entrypoint: []string{"/init"}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func mustConfig(t testing.TB, img v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGoImage compiles a program onto a base image, twice, in two places: the images are the same.
func TestGoImage(t *testing.T) {
	var digests []plan.Digest
	host := images(t)
	for range 2 {
		dir := workspace(t, goModule())
		s := goSpec(t)
		onBase(t, &s, host, baseImage(t, goruntime.GOARCH))
		b := commandBuilder(t, dir)
		digest, r := mustBuild(t, b, s, host+"/web:1")
		digests = append(digests, digest)
		if text := r.text(); !strings.Contains(text, "go build ./cmd/hello for linux/"+goruntime.GOARCH) {
			t.Errorf("the steps are not reported:\n%s", text)
		}
		if got, want := b.Bases(host+"/web:1"), []runtime.BaseImage{{Image: "example.com/base:1", Digest: s.Bases[plan.GoBase].Identity}}; !cmp.Equal(got, want) {
			t.Errorf("the bases are %v, want %v", got, want)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds of the same files are %s and %s", digests[0], digests[1])
	}
	img := pull(t, host+"/web:1")
	c := mustConfig(t, img)
	if want := (v1.Config{User: "nonroot", Env: []string{"A=b"}, Entrypoint: []string{"/app/hello"}}); !cmp.Equal(c.Config, want) {
		t.Errorf("the configuration is %+v", c.Config)
	}
	if out := runProgram(t, img, "app/hello"); out != "hello" {
		t.Errorf("the program prints %q", out)
	}
}

// runProgram runs a program of an image.
func runProgram(t testing.TB, img v1.Image, at string) string {
	t.Helper()
	content := mutate.Extract(img)
	defer content.Close()
	dir := t.TempDir()
	unpack := exec.Command("tar", "-x", "-C", dir)
	unpack.Stdin = content
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(dir, at)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestGoImageGit: a program of a git repository is that of the same files in the workspace.
func TestGoImageGit(t *testing.T) {
	repo, host := newRepository(t), images(t)
	repo.commit(goModule())
	s := goSpec(t)
	s.Source.Git, s.Source.Ref = repo.serve("").url, "main"
	s.Platforms = []string{"linux/amd64"}
	from, _ := mustBuild(t, commandBuilder(t, t.TempDir()), s, host+"/web:git")
	s.Source = plan.Source{Path: "web"}
	dir := workspace(t, goModule())
	if got, _ := mustBuild(t, commandBuilder(t, dir), s, host+"/web:local"); got != from {
		t.Errorf("the image of a commit is %s, that of the same files in the workspace %s", from, got)
	}
}

// TestGoImagePlatforms compiles a program for two platforms, onto an index and onto nothing.
func TestGoImagePlatforms(t *testing.T) {
	dir, host := workspace(t, goModule()), images(t)
	b := commandBuilder(t, dir)
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range []string{"amd64", "arm64"} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: baseImage(t, architecture), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
	}
	for _, scratch := range []bool{false, true} {
		s := goSpec(t)
		s.Platforms = []string{"linux/arm64", "linux/amd64"}
		if !scratch {
			onBase(t, &s, host, index)
		}
		mustBuild(t, b, s, host+"/web:1")
		at, err := name.ParseReference(host + "/web:1")
		if err != nil {
			t.Fatal(err)
		}
		desc, err := remote.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		made, err := desc.ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		list, err := made.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range list.Manifests {
			img, err := made.Image(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			c := mustConfig(t, img)
			if got := c.OS + "/" + c.Architecture; got != s.Platforms[i] || d.Platform.String() != got {
				t.Errorf("image %d is for %s, and its descriptor says %s; want %s", i, got, d.Platform, s.Platforms[i])
			}
			layers, err := img.Layers()
			if err != nil || scratch != (len(layers) == 1) {
				t.Errorf("%d layers (%v), scratch %v", len(layers), err, scratch)
			}
		}
	}
}

// TestGoImageRefused tests programs whose images would depend on more than their identity says, and
// those that cannot be made.
func TestGoImageRefused(t *testing.T) {
	for what, test := range map[string]struct {
		files  files
		change func(*plan.BuildSpec)
		base   string // its architecture
		want   string
	}{
		"a module outside": {
			files: files{"web/go.mod": "module example.com/web\n\ngo 1.21\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n", "lib/go.mod": "module example.com/lib\n\ngo 1.21\n",
				"lib/lib.go": "package lib\n", "web/text/text.go": "package text\n\nimport _ \"example.com/lib\"\n\nvar Hello string\n"},
			want: "lib/lib.go, which is outside of the source: take a directory above as the source",
		},
		"a file that is ignored":      {files: files{"web/.dockerignore": "text/hello.txt\n"}, want: "compiled from text/hello.txt, which a line of .dockerignore excludes"},
		"a go.mod that is ignored":    {files: files{"web/.dockerignore": "go.mod\n"}, want: "compiled from go.mod, which a line of .dockerignore excludes"},
		"a go.mod above the source":   {change: func(s *plan.BuildSpec) { s.Source.Path, s.Go.Package = "web/cmd", "hello" }, want: "web/go.mod, which is outside of the source"},
		"an error":                    {files: files{"web/text/text.go": "package text\n\nvar Hello string = 1\n"}, want: "exit status 1"},
		"a library":                   {change: func(s *plan.BuildSpec) { s.Go.Package = "library" }, want: "the package library in library is not a main package, so there is no program"},
		"a base of another platform":  {base: "riscv64", want: "the base image example.com/base:1 is for linux/riscv64, not for linux/" + goruntime.GOARCH},
		"no package":                  {change: func(s *plan.BuildSpec) { s.Go.Package = "text/none" }, want: "there is no directory"},
		"a module that is not there":  {files: files{"web/text/text.go": "package text\n\nimport _ \"example.com/none\"\n\nvar Hello string\n"}, want: "exit status 1"},
		"an unknown flag of go build": {change: func(s *plan.BuildSpec) { s.Go.Flags = []string{"-no-such-flag"} }, want: "exit status 2"},
	} {
		t.Run(what, func(t *testing.T) {
			dir, host := workspace(t, goModule()), images(t)
			test.files.write(t, dir)
			s := goSpec(t)
			if test.change != nil {
				test.change(&s)
			}
			if test.base != "" {
				onBase(t, &s, host, baseImage(t, test.base))
			}
			_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(runtime.Body) {})
			var wrong *runtime.BuildError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("Build = %v, want a BuildError with %q", err, test.want)
			}
			if test.want == "exit status 1" && len(wrong.Log) == 0 {
				t.Error("the output of the go command is not in the error")
			}
		})
	}
}

// TestGoImageIdentity tests what changes the identity of the image of a Go program.
func TestGoImageIdentity(t *testing.T) {
	make := func(change func(*plan.BuildSpec), add files) plan.Digest {
		dir := workspace(t, goModule())
		add.write(t, dir)
		s := goSpec(t)
		if change != nil {
			change(&s)
		}
		id, err := commandBuilder(t, dir).Identify(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	base := compareIdentities(t, make, []identityChange{
		{what: "nothing", same: true},
		{what: "an ignored file", files: files{"web/text/more_test.go": "package other"}, same: true},
		{what: "a file of another package", files: files{"web/text/hello.txt": "new"}},
		{what: "go.mod", files: files{"web/go.mod": "module example.com/web\n\ngo 1.22\n"}},
		{what: "a flag", change: func(s *plan.BuildSpec) { s.Go.Flags = []string{"-tags=x"} }},
		{what: "a variable", change: func(s *plan.BuildSpec) { s.Go.Env["GOPRIVATE"] = "x" }},
		{what: "the package", change: func(s *plan.BuildSpec) { s.Go.Package = "library" }},
		{what: "the base", change: func(s *plan.BuildSpec) { s.Bases = map[string]plan.Base{plan.GoBase: {Identity: "sha256:1"}} }},
		{what: "a platform", change: func(s *plan.BuildSpec) { s.Platforms = []string{"linux/riscv64"} }},
	})
	// the version of the go command, which is not run
	root := workspace(t, files{"bin/go*": "#!/bin/sh\nexit 1\n", "VERSION": "go1.99.1\ntime x\n"})
	id := func() (plan.Digest, error) {
		return build.New(build.Options{Dir: workspace(t, goModule()), Environ: []string{"PATH=" + filepath.Join(root, "bin")}}).Identify(t.Context(), goSpec(t))
	}
	first, err := id()
	if err != nil || first == base {
		t.Errorf("with another Go: %v, the same %v", err, first == base)
	}
	files{"VERSION": "go1.99.2\ntime x\n"}.write(t, root)
	if second, err := id(); err != nil || second == first {
		t.Errorf("with a newer Go: %v, the same %v", err, second == first)
	}
	if err := os.Remove(filepath.Join(root, "VERSION")); err != nil {
		t.Fatal(err)
	}
	if _, err := id(); err == nil || !strings.Contains(err.Error(), "the version of "+filepath.Join(root, "bin", "go")+" is not known") {
		t.Errorf("without a version: %v", err)
	}
	if err := os.Remove(filepath.Join(root, "bin", "go")); err != nil {
		t.Fatal(err)
	}
	if _, err := id(); err == nil || !strings.Contains(err.Error(), "the program go is not in the PATH") {
		t.Errorf("without Go: %v", err)
	}
}
