package build_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// The scripts of a buildpack that accepts a source with a file hello, and makes a program that prints it.
// What it "downloads" is kept in its cache for the next build.
const (
	greetDetect = `test -f hello && test "$(cat "$CNB_PLATFORM_DIR/env/GREETING")" = "good morning" || exit 100`
	greetBuild  = `
id -u
layers=$CNB_LAYERS_DIR
if test -f "$layers/tool/done"; then echo "the tool is there"; else echo "fetching the tool"; mkdir -p "$layers/tool"; echo done >"$layers/tool/done"; fi
printf '[types]\ncache = true\n' >"$layers/tool.toml"
mkdir -p "$layers/app/bin"
{ echo '#!/bin/sh'; echo "echo '$(cat hello)'"; } >"$layers/app/bin/greet"
chmod 755 "$layers/app/bin/greet"
printf '[types]\nlaunch = true\n' >"$layers/app.toml"
printf '[[labels]]\nkey = "team"\nvalue = "shop"\n[[processes]]\ntype = "web"\ncommand = ["greet"]\ndefault = true\n' >"$layers/launch.toml"
`
)

// TestBuildpack builds a source with the real lifecycle, runs what it has made, and builds it again after a change.
func TestBuildpack(t *testing.T) {
	dir, host, addr := workspace(t, files{"web/hello": "hello", "web/notes": "secret", "web/.dockerignore": "notes\n"}), images(t), buildkit(t)
	s := cnbSpec(t, host, builderImage(t, greetDetect, greetBuild), runImage(t))
	b := commandBuilder(t, dir, addr)
	digest, first := mustBuild(t, b, s, host+"/web:1")
	if text := strings.Join(first.lines(), "\n"); !strings.Contains(text, "fetching the tool") || !strings.Contains(text, "\n1234\n") {
		t.Errorf("the first build prints\n%s", text)
	}
	want := []runtime.BaseImage{{Image: "example.com/builder:1", Digest: s.Bases[plan.BuildpackBuilder].Identity}, {Image: "example.com/run:2", Digest: s.Bases[plan.BuildpackRun].Identity}}
	if got := b.Bases(host + "/web:1"); !cmp.Equal(got, want) {
		t.Errorf("the bases are %v, want %v", got, want)
	}
	img := pull(t, host+"/web:1")
	c := mustConfig(t, img)
	if got := strings.Join(c.Config.Entrypoint, " "); got != "/cnb/process/web" || c.Config.Labels["team"] != "shop" || c.Config.User != "1234" || c.Architecture != goruntime.GOARCH {
		t.Errorf("the configuration is %+v for %s", c.Config, c.Architecture)
	}
	var meta struct {
		RunImage struct{ Image string }
		App      []struct{ SHA string }
	}
	if err := json.Unmarshal([]byte(c.Config.Labels["io.buildpacks.lifecycle.metadata"]), &meta); err != nil || meta.RunImage.Image != "example.com/run:2" {
		t.Errorf("the metadata are %+v, %v", meta, err)
	}
	if got := readImage(t, img, "etc/base"); got != "the run image" {
		t.Errorf("the base has %q", got)
	}
	for _, name := range listImage(t, img) {
		if name == "workspace/notes" || strings.HasPrefix(name, "layers/test_greet/tool/") {
			t.Errorf("the image has %s", name)
		}
	}
	if got := runLauncher(t, img); got != "hello" {
		t.Errorf("the program prints %q", got)
	}
	again, _ := mustBuild(t, b, s, host+"/web:2")
	if again != digest {
		t.Errorf("the same source is %s, first %s", again, digest)
	}

	files{"web/hello": "goodbye"}.write(t, dir)
	_, second := mustBuild(t, commandBuilder(t, dir, addr), s, host+"/web:3")
	if text := strings.Join(second.lines(), "\n"); !strings.Contains(text, "the tool is there") {
		t.Errorf("the second build does not use the cache of the first:\n%s", text)
	}
	if got := runLauncher(t, pull(t, host+"/web:3")); got != "goodbye" {
		t.Errorf("the program prints %q", got)
	}
}

// runLauncher runs the entry point of an image in its files.
func runLauncher(t testing.TB, img v1.Image) string {
	t.Helper()
	content := mutate.Extract(img)
	defer content.Close()
	dir := t.TempDir()
	unpack := exec.Command("tar", "-x", "-C", dir)
	unpack.Stdin = content
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.Command("chroot", dir, mustConfig(t, img).Config.Entrypoint[0])
	run.Env = mustConfig(t, img).Config.Env
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestBuildpackFails tests sources, buildpacks and images that cannot be built with: the error says why, where
// and what to do, and nothing is pushed.
func TestBuildpackFails(t *testing.T) {
	host, addr := images(t), buildkit(t)
	good, run := builderImage(t, greetDetect, greetBuild), runImage(t)
	labelled := func(label, value string) v1.Image {
		return reconfigured(t, good, func(c *v1.ConfigFile) { c.Config.Labels[label] = value })
	}
	for what, test := range map[string]struct {
		files        files
		builder, run v1.Image
		want, next   string
	}{
		"no group accepts it": {
			files: files{"web/other": ""}, want: "no buildpack accepts web: of the groups, test/other@2 does not accept it; test/greet@1 does not accept it", next: "source = local(…)",
		},
		"a detection fails": {
			builder: builderImage(t, "echo it breaks; exit 3", greetBuild),
			want:    "no buildpack accepts web: of the groups, test/other@2 does not accept it; test/greet@1 (3) fails; at least one failed", next: "env= of buildpack()",
		},
		"a buildpack fails":     {builder: builderImage(t, greetDetect, "echo it breaks here; exit 7"), want: "a buildpack failed", next: "as its output says"},
		"no builder":            {builder: run, want: "the builder example.com/builder:1 is not a builder of Cloud Native Buildpacks: it has no label io.buildpacks.builder.metadata", next: "builder= of buildpack()"},
		"an old lifecycle":      {builder: labelled("io.buildpacks.lifecycle.apis", apisOf("0.3", "0.11")), want: "has a lifecycle with the versions 0.3, 0.11 of the platform API, and pipe needs one of 0.14, 0.13, 0.12", next: "at least 0.17"},
		"no user":               {builder: reconfigured(t, good, func(c *v1.ConfigFile) { c.Config.Env = nil }), want: `its variable CNB_USER_ID is "", not the number of a user`, next: "another version"},
		"a label that is text":  {builder: labelled("io.buildpacks.builder.metadata", "x"), want: "has a label that cannot be read", next: "another version"},
		"another architecture":  {builder: reconfigured(t, good, func(c *v1.ConfigFile) { c.Architecture = "riscv64" }), want: "the builder example.com/builder:1 is for linux/riscv64, not for linux/" + goruntime.GOARCH, next: "platforms="},
		"a run image of others": {run: reconfigured(t, run, func(c *v1.ConfigFile) { c.Architecture = "riscv64" }), want: "the run image example.com/run:2 is for linux/riscv64", next: "platforms="},
		"no lifecycle":          {builder: reconfigured(t, run, func(c *v1.ConfigFile) { c.Config = mustConfig(t, good).Config }), want: "the image has no program /cnb/lifecycle/creator", next: "read the output"},
	} {
		t.Run(what, func(t *testing.T) {
			if test.files == nil {
				test.files = files{"web/hello": "hello"}
			}
			if test.builder == nil {
				test.builder = good
			}
			if test.run == nil {
				test.run = run
			}
			s := cnbSpec(t, host, test.builder, test.run)
			b, ref := commandBuilder(t, workspace(t, test.files), addr), host+"/"+strings.ReplaceAll(what, " ", "-")+":1"
			var r record
			_, err := b.Build(t.Context(), s, ref, r.emit)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("Build = %v, want %q\n%s", err, test.want, r.text())
			}
			var failed *runtime.BuildError
			if pos := s.Pos.String(); !strings.Contains(err.Error(), pos) && (!errors.As(err, &failed) || failed.Pos != s.Pos) {
				t.Errorf("%v has no position", err)
			}
			if advice, _ := runtime.AdviceOf(err); !strings.Contains(advice.Do, test.next) {
				t.Errorf("the advice is %q, want %q", advice.Do, test.next)
			}
			if exists(t, ref) {
				t.Error("an image was pushed")
			}
		})
	}
}

// exists reports whether a registry has an image.
func exists(t testing.TB, ref string) bool {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote.Head(r)
	return err == nil
}

// TestBuildpackAPIs builds with each version of the platform API that pipe knows.
func TestBuildpackAPIs(t *testing.T) {
	host, addr := images(t), buildkit(t)
	for _, api := range []string{"0.12", "0.13"} {
		builder := reconfigured(t, builderImage(t, greetDetect, greetBuild), func(c *v1.ConfigFile) {
			delete(c.Config.Labels, "io.buildpacks.lifecycle.apis") // an older builder says it elsewhere
			c.Config.Labels["io.buildpacks.builder.metadata"] = `{"lifecycle":{"version":"0.20.11","apis":` + apisOf("0.4", api) + `}}`
		})
		s := cnbSpec(t, host, builder, runImage(t))
		mustBuild(t, commandBuilder(t, workspace(t, files{"web/hello": api}), addr), s, host+"/web:"+api)
		if got := runLauncher(t, pull(t, host+"/web:"+api)); got != api {
			t.Errorf("the program prints %q", got)
		}
	}
}

// TestBuildpackCancelled: a build that is cancelled ends the buildpack, and leaves nothing.
func TestBuildpackCancelled(t *testing.T) {
	dir, host, addr := workspace(t, files{"web/hello": "hello"}), images(t), buildkit(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	s := cnbSpec(t, host, builderImage(t, greetDetect, "echo it waits; sleep 600"), runImage(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	_, err := commandBuilder(t, dir, addr).Build(ctx, s, host+"/web:1", func(b runtime.Body) {
		if line, ok := b.(runtime.Log); ok && line.Text == "it waits" {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) || exists(t, host+"/web:1") {
		t.Errorf("Build = %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "pipe-build-*")); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
	if out, err := os.ReadDir(temp); err != nil || len(out) > 0 {
		t.Errorf("%v are left, %v", out, err)
	}
}

// TestBuildpackIdentity: what an image is made of is its identity.
func TestBuildpackIdentity(t *testing.T) {
	dir := workspace(t, files{"web/hello": "hello", "web/.dockerignore": "notes\n"})
	base := func() plan.BuildSpec {
		s := spec("web")
		s.Dockerfile, s.Buildpack = "", &plan.Buildpack{Env: map[string]string{"A": "b"}}
		s.Bases = map[string]plan.Base{plan.BuildpackBuilder: {Identity: "sha256:1"}, plan.BuildpackRun: {Identity: "sha256:2"}}
		return s
	}
	identity := func(s plan.BuildSpec) plan.Digest {
		t.Helper()
		id, err := commandBuilder(t, dir).Identify(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := identity(base())
	files{"web/notes": "excluded"}.write(t, dir)
	if identity(base()) != first {
		t.Error("an excluded file changes the identity")
	}
	for what, change := range map[string]func(*plan.BuildSpec){
		"a variable":    func(s *plan.BuildSpec) { s.Buildpack.Env["A"] = "c" },
		"the builder":   func(s *plan.BuildSpec) { s.Bases[plan.BuildpackBuilder] = plan.Base{Identity: "sha256:3"} },
		"the run image": func(s *plan.BuildSpec) { s.Bases[plan.BuildpackRun] = plan.Base{Identity: "sha256:3"} },
		"a platform":    func(s *plan.BuildSpec) { s.Platforms = []string{"linux/riscv64"} },
	} {
		s := base()
		change(&s)
		if identity(s) == first {
			t.Errorf("%s does not change the identity", what)
		}
	}
	files{"web/hello": "goodbye"}.write(t, dir)
	if identity(base()) == first {
		t.Error("a file does not change the identity")
	}
}
