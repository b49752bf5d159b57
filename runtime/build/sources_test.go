package build_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestBuildGitMonorepo: the services of one commit fetch it once, and later runs of the
// machine do not fetch it again.
func TestBuildGitMonorepo(t *testing.T) {
	host := images(t)
	repo := newRepository(t)
	all := files{}
	const services = 50
	for i := range services {
		name := fmt.Sprintf("services/s%d/", i)
		all[name+"Dockerfile"], all[name+"x"] = "FROM scratch\nCOPY x /\n", fmt.Sprint("content of ", i)
	}
	commit := repo.commit(all)
	server := repo.serve("")
	cache := t.TempDir()
	run := func(name string, count int) (fetches int) {
		t.Helper()
		b := build.New(build.Options{Dir: t.TempDir(), Addresses: []string{buildkit(t)}, CacheDir: cache})
		defer b.Close()
		r := &record{}
		var wait sync.WaitGroup
		slots := make(chan bool, 7)
		for i := range count {
			s := gitSpec(server.url, commit)
			s.ID, s.Source.Path, s.Context, s.Dockerfile = fmt.Sprintf("s%d", i), fmt.Sprintf("services/s%d", i), ".", "Dockerfile"
			wait.Go(func() {
				slots <- true
				defer func() { <-slots }()
				if _, err := b.Identify(t.Context(), s); err != nil {
					t.Error(err)
				}
				if _, err := b.Build(t.Context(), s, host+"/"+name+":"+s.ID, r.emit); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		fetched := make(map[int64]bool) // by the time that it took: each event goes to all that wait
		for _, e := range r.events {
			if step, ok := e.(runtime.BuildStep); ok && step.Done && step.Name == "fetch "+commit[:12]+" of "+server.url {
				fetched[int64(step.Took)] = true
			}
		}
		return len(fetched)
	}
	if n := run("first", services); n != 1 {
		t.Errorf("the commit was fetched %d times", n)
	}
	for _, i := range []int{0, services - 1} {
		if got := readImage(t, pull(t, fmt.Sprintf("%s/first:s%d", host, i)), "x"); got != fmt.Sprint("content of ", i) {
			t.Errorf("image %d has %q", i, got)
		}
	}
	if n := server.requests.Load(); n > 3 { // what it can do, and at most two to fetch
		t.Errorf("%d services made %d requests", services, n)
	}
	server.requests.Store(0)
	if n := run("second", 3); n != 0 || server.requests.Load() > 0 {
		t.Errorf("the second run fetched %d times with %d requests", n, server.requests.Load())
	}
}

// TestBuildGitSubmodule builds from a directory of a submodule, whose .dockerignore applies.
func TestBuildGitSubmodule(t *testing.T) {
	host := images(t)
	lib, repo := newRepository(t), newRepository(t)
	inLib := lib.commit(files{"web/Dockerfile": "FROM scratch\nCOPY . /\n", "web/.dockerignore": "not\nDockerfile\n.dockerignore\n", "web/x": "of the library", "web/not": "ignored"})
	repo.git("update-index", "--add", "--cacheinfo", "160000,"+inLib+",vendor/lib")
	files{".gitmodules": "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = " + lib.serve("").url + "\n"}.write(t, repo.dir)
	repo.git("add", ".gitmodules")
	repo.git("commit", "--quiet", "--message=x")
	repo.git("tag", "--annotate", "--message=x", "v1")
	s := gitSpec(repo.serve("").url, "v1")
	s.Source.Path, s.Context, s.Dockerfile = "vendor/lib/web", ".", "Dockerfile"
	mustBuild(t, newBuilder(t, t.TempDir()), s, host+"/web:1")
	image := pull(t, host+"/web:1")
	if got := listImage(t, image); !slices.Equal(got, []string{"x"}) || readImage(t, image, "x") != "of the library" {
		t.Errorf("the image has %q", got)
	}
}

// TestGitSubmoduleUnreachable: the error names the submodule, and the advice what to do.
func TestGitSubmoduleUnreachable(t *testing.T) {
	repo := newRepository(t)
	repo.commit(shop("x"))
	repo.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",vendor/lib")
	files{".gitmodules": "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = http://me:hunter2@127.0.0.1:1/lib.git\n"}.write(t, repo.dir)
	repo.git("add", ".gitmodules")
	repo.git("commit", "--quiet", "--message=x")
	commit := repo.git("rev-parse", "HEAD")
	b := build.New(build.Options{Dir: t.TempDir(), CacheDir: t.TempDir()})
	url := repo.serve("").url
	s := gitSpec(url, "main")
	s.Platforms = []string{"linux/amd64"}
	_, err := b.Build(t.Context(), s, "127.0.0.1:1/web:1", func(runtime.Body) {})
	want := "Pipelinefile:3:1: fetch " + commit + " of " + url + ": submodule lib in vendor/lib of http://REDACTED@127.0.0.1:1/lib.git: git fetch: "
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Build = %v\nwant %s…", err, want)
	}
	const do = "correct the URL of the submodule lib in .gitmodules of that repository, and check that git can read it from here with \"git ls-remote\""
	if advice, _ := runtime.AdviceOf(err); advice.Do != do {
		t.Errorf("the advice is %q\nwant %q", advice.Do, do)
	}
}

// TestBuildGitPointers: without git-lfs, a build whose context has a pointer of Git LFS fails.
// Pointers elsewhere in the repository do not matter.
func TestBuildGitPointers(t *testing.T) {
	if _, err := exec.LookPath("git-lfs"); err == nil {
		git, err := exec.LookPath("git")
		if err != nil {
			t.Fatal(err)
		}
		bin := t.TempDir()
		for _, name := range []string{"sh", "sed", "uname", "basename"} {
			if program, err := exec.LookPath(name); err == nil {
				os.Symlink(program, filepath.Join(bin, name))
			}
		}
		os.Symlink(git, filepath.Join(bin, "git"))
		t.Setenv("PATH", bin)
	}
	repo := newRepository(t)
	all := shop("x")
	all[".gitattributes"] = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
	all["services/web/src/data/big.bin"] = "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("ab", 32) + "\nsize 12345\n"
	all["services/web/other.bin"] = all["services/web/src/data/big.bin"]
	commit := repo.commit(all)
	url := repo.serve("").url
	b := build.New(build.Options{Dir: t.TempDir(), CacheDir: t.TempDir(), Addresses: []string{"unix:///nonexistent.sock"}})
	t.Cleanup(func() { b.Close() })
	try := func(change func(*plan.BuildSpec)) error {
		s := gitSpec(url, commit)
		s.Platforms = []string{"linux/amd64"}
		change(&s)
		_, err := b.Build(t.Context(), s, "127.0.0.1:1/web:1", func(runtime.Body) {})
		return err
	}
	err := try(func(*plan.BuildSpec) {})
	want := "Pipelinefile:3:1: the content of services/web/src/data/big.bin in " + commit + " of " + url + " is in Git LFS, and the program git-lfs is not installed"
	if err == nil || err.Error() != want {
		t.Errorf("Build = %v\nwant %s", err, want)
	}
	if advice, _ := runtime.AdviceOf(err); !strings.HasPrefix(advice.Do, "install git-lfs on this machine") {
		t.Errorf("the advice is %q", advice.Do)
	}
	err = try(func(s *plan.BuildSpec) { s.Dockerfile = "other.bin" })
	if err == nil || !strings.HasPrefix(err.Error(), "Pipelinefile:3:1: the content of services/web/other.bin in ") {
		t.Errorf("Build = %v", err)
	}
	err = try(func(s *plan.BuildSpec) { s.Context = "docker" })
	if err == nil || strings.Contains(err.Error(), "Git LFS") { // the builder cannot be reached
		t.Errorf("Build of another directory = %v", err)
	}
}

// TestGitLookups: a run asks a repository once for a branch that many services are built from.
func TestGitLookups(t *testing.T) {
	repo := newRepository(t)
	commit := repo.commit(shop("x"))
	server := repo.serve("")
	p := &plan.Plan{
		Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "staging", Kind: plan.KindEnvironment},
		Stages: []plan.Stage{{Name: "apps"}},
	}
	for i := range 50 {
		b := gitSpec(server.url, "main")
		b.ID, b.Platforms = fmt.Sprintf("s%d", i), []string{"linux/amd64"}
		p.Builds = append(p.Builds, b)
		p.Services = append(p.Services, plan.Service{Name: b.ID, Type: plan.Application, Stage: "apps", Image: plan.ImageSource{Build: b.ID}})
	}
	rt := runtimetest.NewWorld().Runtime()
	rt.Builder = build.New(build.Options{Dir: t.TempDir(), CacheDir: t.TempDir()})
	steps, err := rt.Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	if err != nil || len(steps) != 50 {
		t.Fatalf("Preview = %d steps, %v", len(steps), err)
	}
	for _, s := range steps {
		if s.Commit != commit || s.Image != runtime.ImageBuild {
			t.Errorf("%+v", s)
		}
	}
	if n := server.requests.Load(); n != 2 { // what the server can do, and its branches
		t.Errorf("50 services made %d requests", n)
	}
}
