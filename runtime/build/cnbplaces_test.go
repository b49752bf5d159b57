package build_test

import (
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestBuildpackGit builds a directory of a commit, and not what the branch has meanwhile.
func TestBuildpackGit(t *testing.T) {
	host, addr := images(t), buildkit(t)
	repo := newRepository(t)
	first := repo.commit(files{"web/hello": "first", "web/notes": "excluded", "web/.dockerignore": "notes\n", "other": "outside"})
	repo.commit(files{"web/hello": "second"})
	files{"web/hello": "not committed"}.write(t, repo.dir)
	b := commandBuilder(t, t.TempDir(), addr)
	s := cnbSpec(t, host, builderImage(t, greetDetect, greetBuild), runImage(t))
	s.Source.Git = "file://" + repo.dir
	for ref, want := range map[string]string{first: "first", "main": "second"} {
		s.Source.Ref = ref
		mustBuild(t, b, s, host+"/web:"+want)
		img := pull(t, host+"/web:"+want)
		if got := runLauncher(t, img); got != want {
			t.Errorf("the program of %s prints %q", ref, got)
		}
		for _, file := range listImage(t, img) {
			if strings.HasPrefix(file, "workspace/") && file != "workspace/hello" && file != "workspace/.dockerignore" {
				t.Errorf("the image of %s has %s", ref, file)
			}
		}
	}
	s.Source.Ref, s.Source.Path = first, "nope"
	if _, err := b.Build(t.Context(), s, host+"/web:none", (&record{}).emit); err == nil || !strings.Contains(err.Error(), "there is no directory nope") {
		t.Errorf("a directory that the commit lacks: %v", err)
	}
}

// TestBuildpackPlatforms makes an index of two platforms. The programs of both builders are those of this
// machine, as if the other platform was emulated; the rest is real.
func TestBuildpackPlatforms(t *testing.T) {
	host, addr := images(t), buildkit(t)
	both := func(img v1.Image) map[string]v1.Image {
		all := make(map[string]v1.Image)
		for _, architecture := range []string{"amd64", "arm64"} {
			all[architecture] = reconfigured(t, img, func(c *v1.ConfigFile) { c.Architecture = architecture })
		}
		return all
	}
	builders, runs := both(builderImage(t, greetDetect, greetBuild+writeCDX)), both(runImage(t))
	s := cnbSpec(t, host, platformIndex(builders), platformIndex(runs))
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	o := pushingOptions(t, workspace(t, files{"web/hello": "hello"}), addr)
	o.Attest.Beside = func(ref string) string { return ref + ".provenance" }
	mustBuild(t, withOptions(t, o), s, host+"/web:1")
	from, err := name.ParseReference(host + "/web:1")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(from)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var made, about []string
	for _, d := range list.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		made, about = append(made, d.Platform.String()+" "+mustConfig(t, img).Architecture), append(about, d.Digest.String())
		if got := runLauncher(t, img); got != "hello" {
			t.Errorf("the program for %s prints %q", d.Platform, got)
		}
	}
	if want := []string{"linux/amd64 amd64", "linux/arm64 arm64"}; !cmp.Equal(made, want) {
		t.Errorf("the index has %q, want %q", made, want)
	}
	var of []string
	_, digests := attachedSBOM(t, host+"/web:1.provenance")
	for _, digest := range digests {
		of = append(of, string(digest))
	}
	if !cmp.Equal(of, about) {
		t.Errorf("the SBOMs are about %q, want %q", of, about)
	}

	// A builder that lacks one of the platforms: nothing is built for the other.
	s = cnbSpec(t, host, builders["amd64"], platformIndex(runs))
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	var r record
	_, err = withOptions(t, o).Build(t.Context(), s, host+"/web:2", r.emit)
	if err == nil || !strings.Contains(err.Error(), "the builder example.com/builder:1 is for linux/amd64, not for linux/arm64") || strings.Contains(r.text(), "buildpacks of") {
		t.Errorf("Build = %v\n%s", err, r.text())
	}
}

// TestBuildpackForeign: the programs of a builder image for another platform need emulation, and the error says
// so.
func TestBuildpackForeign(t *testing.T) {
	host, addr := images(t), buildkit(t)
	good := builderImage(t, greetDetect, greetBuild)
	program, err := os.ReadFile("../../bin/lifecycle")
	if err != nil {
		t.Fatal(err)
	}
	program[18] = 0xF3 // the machine in the header of the file: RISC-V
	foreign := imageOfFiles(t, mustConfig(t, good).Config, rootFiles(t), files{"cnb/lifecycle/creator*": string(program)})
	other := func(img v1.Image) v1.Image {
		return reconfigured(t, img, func(c *v1.ConfigFile) { c.Architecture = "riscv64" })
	}
	s := cnbSpec(t, host, other(foreign), other(runImage(t)))
	s.Platforms = []string{"linux/riscv64"}
	var r record
	_, err = commandBuilder(t, workspace(t, files{"web/hello": "hello"}), addr).Build(t.Context(), s, host+"/web:1", r.emit)
	if err == nil || !strings.Contains(err.Error(), "its program is for another platform than that of the builder: ") || exists(t, host+"/web:1") {
		t.Errorf("Build = %v\n%s", err, r.text())
	}
}

// TestBuildpackBuilderLost kills one of two builders while a buildpack runs there: the image is made by the
// other one.
func TestBuildpackBuilderLost(t *testing.T) {
	host := images(t)
	s := cnbSpec(t, host, builderImage(t, greetDetect, "cat /proc/self/mountinfo; echo started; sleep 2\n"+greetBuild), runImage(t))
	s.Platforms = []string{"linux/" + goruntime.GOARCH}
	workers := []*worker{startWorker(t), startWorker(t)}
	var r record
	var failed *worker
	emit := onStarted(&r, sync.OnceFunc(func() {
		failed = builtOn(t, &r, workers)
		failed.signal(t, syscall.SIGKILL)
	}))
	b := commandBuilder(t, workspace(t, files{"web/hello": "hello"}), workers[0].addr, workers[1].addr)
	digest, err := b.Build(t.Context(), s, host+"/web:1", emit)
	if err != nil || head(t, host+"/web:1") != digest {
		t.Fatalf("Build = %s, %v\n%s", digest, err, r.text())
	}
	retried := r.retried()
	if failed == nil || len(retried) != 1 || retried[0].From != failed.addr || retried[0].To == failed.addr || !strings.Contains(retried[0].Error, "was lost during the build: ") {
		t.Errorf("the build is retried with %+v", retried)
	}
	if got := runLauncher(t, pull(t, host+"/web:1")); got != "hello" {
		t.Errorf("the program prints %q", got)
	}
}
