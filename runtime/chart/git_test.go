package chart

import (
	"context"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/plan"
)

// A gitRepository is a git repository that a server serves over HTTP.
type gitRepository struct {
	t       *testing.T
	dir     string
	url     string
	fetched atomic.Int32 // how often objects were fetched
}

// newGitRepository starts the server. With old, it speaks only the first version of the
// protocol, in which it permits only whole branches.
func newGitRepository(t *testing.T, old bool) *gitRepository {
	t.Helper()
	r := &gitRepository{t: t, dir: filepath.Join(t.TempDir(), "charts")}
	r.git("init", "--quiet", "--initial-branch=main", r.dir)
	handler := &cgi.Handler{
		Path: filepath.Join(r.git("--exec-path"), "git-http-backend"), Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if old {
			req.Header.Del("Git-Protocol")
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(body), "want ") {
			r.fetched.Add(1)
		}
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		handler.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL + "/charts/.git"
	return r
}

func (r *gitRepository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	if args[0] != "init" {
		cmd.Dir = r.dir
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit commits what is in the directory.
func (r *gitRepository) commit() string {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message=x")
	return r.git("rev-parse", "HEAD")
}

func TestGit(t *testing.T) {
	for _, old := range []bool{false, true} {
		r := newGitRepository(t, old)
		writeChart(t, filepath.Join(r.dir, "charts/web"), "web", map[string]string{
			"Chart.yaml":  "apiVersion: v2\nname: web\nversion: 1.2.3\ndependencies:\n- {name: lib, version: 1.2.3, repository: file://../lib}\n",
			"values.yaml": "text: first\n",
		})
		writeChart(t, filepath.Join(r.dir, "charts/lib"), "lib", nil)
		first := r.commit()
		r.git("tag", "v1")
		writeChart(t, filepath.Join(r.dir, "charts/web"), "web", map[string]string{"values.yaml": "text: second\n"})
		second := r.commit()

		cache := t.TempDir()
		shelf := NewShelf(t.TempDir(), cache)
		text := func(s *Shelf, ref plan.Chart) string {
			t.Helper()
			ref.Git, ref.Ref = r.url, "charts/web"
			c, err := s.Chart(t.Context(), service(ref), nil)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := c.Copy()
			if err != nil {
				t.Fatal(err)
			}
			deps := ""
			for _, d := range whole.Dependencies() {
				deps += " with " + d.Name()
			}
			text, _ := whole.Values["text"].(string)
			return text + deps
		}
		for ref, want := range map[string]string{"v1": "first with lib", first: "first with lib", "main": "second", "HEAD": "second"} {
			if got := text(shelf, plan.Chart{Version: ref}); got != want {
				t.Errorf("the chart at %s is %q, want %q", ref, got, want)
			}
		}
		if got := text(shelf, plan.Chart{Version: "main", Commit: first}); got != "first with lib" {
			t.Errorf("the chart of the recorded commit is %q", got)
		}
		if n := r.fetched.Load(); !old && n != 2 {
			t.Errorf("two commits are fetched %d times", n)
		}

		// Another process has the commit, and several charts of it fetch it once.
		before := r.fetched.Load()
		if got := text(NewShelf(t.TempDir(), cache), plan.Chart{Version: second}); got != "second" || r.fetched.Load() != before {
			t.Errorf("the kept commit is %q, fetched %d times", got, r.fetched.Load()-before)
		}
		shelf = NewShelf(t.TempDir(), t.TempDir())
		var all sync.WaitGroup
		for _, name := range []string{"charts/web", "charts/lib"} {
			all.Go(func() {
				if _, err := shelf.Chart(t.Context(), service(plan.Chart{Git: r.url, Version: "main", Commit: second, Ref: name}), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := r.fetched.Load() - before; !old && n != 1 {
			t.Errorf("two charts of a commit are fetched %d times", n)
		}
	}
}

func TestGitErrors(t *testing.T) {
	r := newGitRepository(t, false)
	for name, repository := range map[string]string{"leaves": "file://../../../x", "linked": "file://../outside", "gone": "file://../none"} {
		writeChart(t, filepath.Join(r.dir, name), name, map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: 1.2.3\ndependencies:\n- {name: x, version: 1.2.3, repository: '" + repository + "'}\n",
		})
	}
	writeChart(t, filepath.Join(r.dir, "library"), "library", map[string]string{"Chart.yaml": "apiVersion: v2\nname: library\nversion: 1.2.3\ntype: library\n"})
	outside := t.TempDir()
	writeChart(t, outside, "outside", nil)
	if err := os.Symlink(outside, filepath.Join(r.dir, "outside")); err != nil {
		t.Fatal(err)
	}
	writeChart(t, filepath.Join(r.dir, "within"), "within", nil)
	if err := os.Symlink("/etc/passwd", filepath.Join(r.dir, "within/templates/x.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "empty"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "empty", "x"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	r.commit()
	for _, test := range []struct {
		ref  plan.Chart
		want string
	}{
		{plan.Chart{Ref: "none"}, r.url + " at main has no chart in none: name the directory with Chart.yaml, or a .tgz, with path= of git()"},
		{plan.Chart{Ref: "empty"}, "has no chart in empty"},
		{plan.Chart{Ref: "."}, "has no chart in ."},
		{plan.Chart{Ref: "library"}, "installs nothing"},
		{plan.Chart{Ref: "outside"}, "outside leads out of the repository through a symbolic link"},
		{plan.Chart{Ref: "within"}, "templates/x.yaml leads out of the repository through a symbolic link"},
		{plan.Chart{Ref: "leaves", Commit: "../../x"}, `"../../x" of ` + r.url + " is not a commit"},
		{plan.Chart{Ref: "../x"}, "../x is outside of the repository"},
		{plan.Chart{Ref: "leaves"}, "dependency x: file://../../../x is outside of the repository"},
		{plan.Chart{Ref: "linked"}, "dependency x: outside leads out of the repository"},
		{plan.Chart{Ref: "gone"}, "dependency x: "},
		{plan.Chart{Ref: "leaves", Version: "v9"}, "ask " + r.url + " for v9: there is no such branch or tag"},
		{plan.Chart{Ref: "leaves", Version: strings.Repeat("a", 40)}, "fetch " + strings.Repeat("a", 40) + " of " + r.url},
		{plan.Chart{Ref: "leaves", Git: "http://user:hunter2@127.0.0.1:1/x"}, "ask http://"},
	} {
		if test.ref.Version == "" {
			test.ref.Version = "main"
		}
		if test.ref.Git == "" {
			test.ref.Git = r.url
		}
		_, err := NewShelf(t.TempDir(), t.TempDir()).Chart(t.Context(), service(test.ref), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("chart %s at %s: %v, want %q", test.ref.Ref, test.ref.Version, err, test.want)
		}
	}
}

// TestGitShared: a chart and a build of the same commit use one checkout, whichever comes first. A
// submodule that cannot be fetched does not matter to a chart.
func TestGitShared(t *testing.T) {
	for _, first := range []string{"chart", "build"} {
		r := newGitRepository(t, false)
		writeChart(t, filepath.Join(r.dir, "web"), "web", nil)
		commit := r.commit()
		dir := t.TempDir()
		chart := func() {
			t.Helper()
			shelf := NewShelf(t.TempDir(), t.TempDir())
			shelf.ShareCheckouts(dir)
			if _, err := shelf.Chart(t.Context(), service(plan.Chart{Git: r.url, Version: commit, Ref: "web"}), nil); err != nil {
				t.Fatal(err)
			}
		}
		build := func() {
			t.Helper()
			c := &git.Checkouts{Dir: dir}
			_, err := c.Get(t.Context(), commit, func(ctx context.Context, work string) ([]string, error) {
				return git.FetchAll(ctx, git.ForSources(), r.url, commit, work)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if first == "chart" {
			chart()
			build()
		} else {
			build()
			chart()
		}
		if n := r.fetched.Load(); n != 1 {
			t.Errorf("the %s first: the commit is fetched %d times", first, n)
		}
	}

	r := newGitRepository(t, false)
	writeChart(t, filepath.Join(r.dir, "web"), "web", nil)
	r.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",sub")
	if err := os.WriteFile(filepath.Join(r.dir, ".gitmodules"), []byte("[submodule \"sub\"]\n\tpath = sub\n\turl = "+r.url+"-gone\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	r.git("add", "web", ".gitmodules")
	r.git("commit", "--quiet", "--message=x")
	commit := r.git("rev-parse", "HEAD")
	cache := t.TempDir()
	var before int32
	for i := range 2 {
		if _, err := NewShelf(t.TempDir(), cache).Chart(t.Context(), service(plan.Chart{Git: r.url, Version: commit, Ref: "web"}), nil); err != nil {
			t.Fatal(err)
		}
		if n := r.fetched.Load(); i == 1 && n != before {
			t.Errorf("the next process has fetched it %d times", n-before)
		}
		before = r.fetched.Load()
	}
}
