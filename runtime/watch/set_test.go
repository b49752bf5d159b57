package watch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// TestEvaluated: what an evaluation says that it read is what is found, for every
// kind of input, so that nothing is reported that did not change.
func TestEvaluated(t *testing.T) {
	s := newSpace(t, FileOptions{}, ".git/HEAD", "ref: refs/heads/main\n", "end", "",
		"Pipelinefile", `
load("lib/a.star", "A")
pipeline("shop")
application("api", source = local("api"), build = dockerfile(context = "src", file = "docker/Dockerfile.ci"), env = {"A": A})
application("web", source = local("web"))
container("db", image = "redis", chart = chart("charts/db", values_files = ["values.yaml"]))
glob("conf/**/*.yaml", exclude = ["conf/b*", "**/skip"])
glob("conf/**/*.yaml")
glob("none/*")
`,
		"lib/a.star", `A = read_file("a.txt") + str(read_json("a.json"))`, "lib/a.txt", "x", "lib/a.json", "[1]",
		"api/src/docker/Dockerfile.ci", "FROM scratch", "api/src/main.go", "x", "web/Dockerfile", "FROM scratch", "values.yaml", "a: 1",
		"charts/db/Chart.yaml", "name: db\nversion: 1.0.0\napiVersion: v2\n", "charts/db/templates/a.yaml", "x", "charts/db/templates/b.d/c.yaml", "x", "charts/db/templates/b.e", "x",
		"charts/common/_h.tpl", "x", "charts/more/x.yaml", "x", "charts/db/.git/HEAD", "x",
		"conf/a.yaml", "", "conf/b.yaml", "", "conf/d/e.yaml", "", "conf/skip/f.yaml", "", "conf/.hidden/g.yaml", "")
	s.link("../../common/_h.tpl", "charts/db/templates/_h.tpl")
	s.link("../more", "charts/db/more")
	p, err := interp.Eval(t.Context(), s.path("Pipelinefile"), interp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[plan.InputKind]bool{}
	for _, in := range p.Inputs {
		kinds[in.Kind] = true
	}
	if len(kinds) != 7 {
		t.Errorf("the inputs have the kinds %v", kinds)
	}
	s.ok(s.files.Set(append(p.Inputs, s.inputs("file end")...), p.Builds))
	s.write("end", "1")
	s.want("end", "file end")
	s.write("api/src/main.go", "y")
	s.want("api/src/main.go", "context api/src")
	s.write("charts/more/x.yaml", "y")
	s.want("charts/db/more/x.yaml charts/more/x.yaml", "chart charts/db")
}

// TestInBetween: what changed after it was read and before it was watched is
// reported, once.
func TestInBetween(t *testing.T) {
	s := newSpace(t, FileOptions{}, "a", "1", "b", "1", "dir/x", "", "end", "")
	old := s.inputs("file a", "file b", "file dir", "file none", "file end")
	s.write("a", "2")
	s.write("none", "2")
	s.ok(s.files.Set(old, nil))
	s.want("a none", "file a", "file none")
	s.ok(s.files.Set(old, nil)) // a slow evaluation
	s.write("end", "1")
	s.want("end", "file end")
	s.ok(s.files.Set(s.inputs("file a", "file b", "file dir", "file end"), nil))
	s.write("none", "3")
	s.write("end", "2")
	s.want("end", "file end")

	// What an evaluation could not read is reported once, although it is there.
	in := s.inputs("file a", "file end")
	in[0].Digest = ""
	s.ok(s.files.Set(in, nil))
	s.want("a", "file a")
	in = append(in, s.inputs("file b")...)
	s.ok(s.files.Set(in, nil))
	s.write("end", "3")
	s.want("end", "file end")

	// Of two evaluations, the later one counts.
	in = append(s.inputs("file a", "file b", "file end"), s.inputs("file a")...)
	in[0].Digest = plan.DigestOf([]byte("another"))
	s.ok(s.files.Set(in, nil))
	s.write("end", "4")
	s.want("end", "file end")
}

// TestMerged: what nobody takes becomes one change.
func TestMerged(t *testing.T) {
	s := newSpace(t, FileOptions{}, "a", "1", "b", "1", "c/x", "1")
	s.set(contextC, "file a", "file b", "context c")
	began := time.Now()
	waiting := func(path string) {
		t.Helper()
		for there := false; !there; {
			s.inspect(func(f *Files) { there = f.out != nil && slices.Contains(f.out.Paths, path) })
		}
	}
	s.write("b", "2")
	waiting("b")
	s.write("a", "2")
	waiting("a")
	s.write("c/x", "2")
	s.write("b", "3")
	waiting("c/x")
	c := s.next()
	if got := strings.Join(c.Paths, " "); got != "a b c/x" || len(c.Inputs) != 3 {
		t.Errorf("changed %s of %v", got, c.Inputs)
	}
	if c.First.Before(began) || !c.Last.After(c.First) {
		t.Errorf("from %v to %v, began %v", c.First, c.Last, began)
	}
	s.ok(s.files.Close())
	if _, open := <-s.files.Changes(); open {
		t.Error("changes after Close")
	}
	if err := s.files.Set(nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Set after Close: %v", err)
	}
}

func TestOpenFilesNowhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, file + ".none"} {
		if _, err := OpenFiles(root, FileOptions{}); err == nil || !strings.Contains(err.Error(), root) {
			t.Errorf("OpenFiles(%s): %v", root, err)
		}
	}
}

// TestWithoutBuilds: of a context that only an evaluation that failed knows, its
// own .dockerignore counts. A .dockerignore that is not valid leaves out what it
// did before.
func TestWithoutBuilds(t *testing.T) {
	s := newSpace(t, FileOptions{}, "c/.dockerignore", "out\n", "c/x", "1", "c/out/y", "1")
	s.set(nil, "context c")
	s.write("c/out/y", "2")
	s.write("c/x", "2")
	s.want("c/x", "context c")
	s.write("c/.dockerignore", "[\n")
	s.want("c/.dockerignore", "context c")
	s.write("c/out/y", "3")
	s.write("c/x", "3")
	s.want("c/x", "context c")

	// Two builds of one context leave out different files.
	s.write("c/Dockerfile.b.dockerignore", "x\n")
	s.want("c/Dockerfile.b.dockerignore", "context c")
	build := func(file string) plan.BuildSpec {
		return plan.BuildSpec{ID: file, Source: plan.Source{Path: "c"}, Context: ".", Dockerfile: file}
	}
	s.set([]plan.BuildSpec{build("Dockerfile.b")}, "context c")
	s.write("c/x", "4")
	s.write("c/out/y", "4")
	s.want("c/out/y", "context c")
	s.set([]plan.BuildSpec{build("Dockerfile.b"), build("Dockerfile")}, "context c")
	s.write("c/x", "5")
	s.want("c/x", "context c")
}

// TestHead: HEAD has moved if it did so while the files were changed, also in a
// linked worktree, and with packed branches.
func TestHead(t *testing.T) {
	s := newSpace(t, FileOptions{}, "repo/a", "1")
	git := func(dir string, args ...string) error {
		cmd := exec.Command("git", args...)
		cmd.Dir = s.path(dir)
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %v: %w: %s", args, err, out)
		}
		return nil
	}
	s.ok(git("repo", "init", "-q", "-b", "main"))
	s.ok(git("repo", "add", "."))
	s.ok(git("repo", "commit", "-qm", "one"))
	s.write("repo/a", "2")
	s.ok(git("repo", "commit", "-qam", "two"))
	s.ok(git("repo", "branch", "old", "HEAD~1"))
	s.ok(git("repo", "worktree", "add", "-q", "--detach", "../linked", "HEAD"))
	s.ok(git("repo", "pack-refs", "--all"))
	for _, dir := range []string{"repo", "linked"} {
		f, err := OpenFiles(s.path(dir), FileOptions{})
		s.ok(err)
		defer f.Close()
		in := &space{TB: t, dir: s.path(dir), files: f, real: true}
		in.set(nil, "file a")
		in.write("a", "3")
		if c := in.next(); c.Head {
			t.Errorf("%s: HEAD has moved with a save", dir)
		}
		in.do(func() error { return git(dir, "checkout", "-q", "a") })
		if c := in.next(); c.Head {
			t.Errorf("%s: HEAD has moved when a file was taken back", dir)
		}
		in.do(func() error { return git(dir, "checkout", "-q", "--detach", "old") })
		if c := in.next(); !c.Head {
			t.Errorf("%s: HEAD has not moved with a checkout", dir)
		}
		in.do(func() error { return git(dir, "checkout", "-q", "--detach", "main") })
		if c := in.next(); !c.Head {
			t.Errorf("%s: HEAD has not moved with a checkout", dir)
		}
	}
	if r := findRepository(t.TempDir()); r.head() != (head{}) || r.busy(time.Now()) {
		t.Error("a directory outside of git has a HEAD")
	}
}

func TestSurvey(t *testing.T) {
	s := newSpace(t, FileOptions{}, "Pipelinefile", "", "c/.dockerignore", "node_modules\n", "c/x", "1", "c/d/y", "1", "c/node_modules/z/z", "1", "other/x", "")
	s.set(nil, "module Pipelinefile") // this process watches a directory, whatever others do
	got, err := Survey(s.dir, s.inputs("module Pipelinefile", "context c"), contextC)
	if err != nil {
		t.Fatal(err)
	}
	if got.Directories != 3 || got.Files != 4 || len(got.Limits) != 2 || len(got.Silent) != 0 {
		t.Errorf("Survey() = %+v", got)
	}
	for _, l := range got.Limits {
		if _, err := os.Stat("/proc/sys/fs/inotify"); err == nil && (l.Value == 0 || l.Used == 0 || l.Need == 0 || l.Fitting < 256) {
			t.Errorf("limit %+v, and this process watches", l)
		}
	}
}

// TestLimits reads the limits of inotify and what is used of them.
func TestLimits(t *testing.T) {
	s := newSpace(t, FileOptions{}, "proc/sys/fs/inotify/max_user_watches", "100000\n", "proc/sys/fs/inotify/max_user_instances", "2\n",
		"proc/7/fdinfo/3", "pos:\t0\ninotify wd:2 ino:1\ninotify wd:1 ino:2\n", "proc/7/fdinfo/4", "pos:\t0\n", "proc/8/fdinfo/3", "inotify wd:1 ino:2\n")
	s.link("anon_inode:inotify", "proc/7/fd/3")
	s.link("/dev/null", "proc/7/fd/4")
	s.link("anon_inode:inotify", "proc/8/fd/3")
	got := limits(s.path("proc"), 99_998)
	want := []Limit{
		{Name: MaxWatches, Value: 100_000, Used: 3, Need: 99_998, Fitting: 262_144},
		{Name: MaxInstances, Value: 2, Used: 2, Need: 1, Fitting: 256},
	}
	if !slices.Equal(got, want) || got[0].Fits() || got[1].Fits() {
		t.Errorf("limits() = %+v, want %+v", got, want)
	}
	if l := limits(s.path("proc"), 99_997)[0]; !l.Fits() {
		t.Errorf("%+v does not fit", l)
	}
	if l := limits(s.path("none"), 5)[0]; !l.Fits() || l.Value != 0 {
		t.Errorf("%+v does not fit", l)
	}
}

// TestSetSince: what changed in a context since somebody has read it, before it was
// watched, is reported once: files, and the directory of one that was deleted; what
// is older, or left out, is not.
func TestSetSince(t *testing.T) {
	files := []string{
		"api/.dockerignore", "logs\n", "api/main.go", "1", "api/pkg/a.go", "1", "api/logs/x", "1", "api/empty/x", "1", "Pipelinefile", "x", "end", "",
	}
	builds := []plan.BuildSpec{{Source: plan.Source{Path: "api"}, Context: ".", Dockerfile: "Dockerfile"}}
	t.Run("all is new", func(t *testing.T) {
		s := newSpace(t, FileOptions{}, files...)
		s.ok(os.Remove(s.path("api/empty/x")))
		s.ok(s.files.SetSince(s.inputs("context api", "module Pipelinefile", "file end"), builds, time.Now().Add(-time.Hour)))
		s.want("api/.dockerignore api/empty api/main.go api/pkg/a.go", "context api")
		s.write("end", "1")
		s.want("end", "file end")
	})
	t.Run("all is older", func(t *testing.T) {
		s := newSpace(t, FileOptions{}, files...)
		s.ok(s.files.SetSince(s.inputs("context api", "module Pipelinefile", "file end"), builds, time.Now().Add(time.Hour)))
		s.write("end", "1")
		s.want("end", "file end")
		s.write("api/main.go", "2")
		s.want("api/main.go", "context api")
	})
}
