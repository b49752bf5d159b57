package build_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/build"
)

// A repository is a git repository on disk.
type repository struct {
	t   testing.TB
	dir string
}

func newRepository(t testing.TB) *repository {
	t.Helper()
	r := &repository{t, filepath.Join(t.TempDir(), "shop")}
	r.git("init", "--quiet", "--initial-branch=main", r.dir)
	return r
}

func (r *repository) git(args ...string) string {
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

// commit writes files and commits them.
func (r *repository) commit(f files) (commit string) {
	r.t.Helper()
	f.write(r.t, r.dir)
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "--message=x")
	return r.git("rev-parse", "HEAD")
}

// A served is a repository that is served over HTTP.
type served struct {
	url      string
	requests atomic.Int32
}

// serve serves the repository over HTTP. If password is set, it is required.
func (r *repository) serve(password string) *served {
	r.t.Helper()
	s := &served{}
	handler := &cgi.Handler{
		Path:   filepath.Join(r.git("--exec-path"), "git-http-backend"),
		Stderr: io.Discard, // clients receive the same messages
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.requests.Add(1)
		if _, pass, _ := req.BasicAuth(); pass != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, req)
	}))
	r.t.Cleanup(server.Close)
	s.url = server.URL + "/shop/.git"
	return s
}

func gitSpec(url, ref string) plan.BuildSpec {
	s := spec("services/web")
	s.Source.Git, s.Source.Ref = url, ref
	s.Context, s.Dockerfile = "src", "docker/Dockerfile"
	return s
}

func shop(content string) files {
	return files{
		"services/web/docker/Dockerfile": "FROM scratch\nCOPY . /\n",
		"services/web/src/x":             content,
		"services/web/other":             "other",
	}
}

// TestBuildGit builds from a remote repository, and from one on disk.
func TestBuildGit(t *testing.T) {
	host := images(t)
	repo := newRepository(t)
	first := repo.commit(shop("first"))
	repo.git("tag", "--annotate", "--message=x", "v1")
	second := repo.commit(shop("second"))
	repo.git("branch", "next")
	files{"services/web/src/x": "not committed"}.write(t, repo.dir)
	b := newBuilder(t, t.TempDir())
	for name, url := range map[string]string{"http": repo.serve("").url, "file": "file://" + repo.dir, "path": repo.dir} {
		t.Run(name, func(t *testing.T) {
			for ref, want := range map[string]string{
				"v1": "first", first: "first", "main": "second", "HEAD": "second", "refs/heads/next": "second", second: "second",
			} {
				s := gitSpec(url, ref)
				id, err := b.Identify(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				commit := gitSpec(url, map[string]string{"first": first, "second": second}[want])
				if other, err := b.Identify(t.Context(), commit); err != nil || other != id {
					t.Errorf("%s has identity %s, its commit %s (%v)", ref, id, other, err)
				}
				image := host + "/" + name + ":" + strings.ReplaceAll(ref, "/", "-")
				mustBuild(t, b, s, image)
				if got := strings.Join(listImage(t, pull(t, image)), " "); got != "x" {
					t.Errorf("the image has %q", got)
				}
				if got := readImage(t, pull(t, image), "x"); got != want {
					t.Errorf("the image of %s has %q, want %q", ref, got, want)
				}
			}
		})
	}
}

// TestBuildGitMoved builds the identified commit although the branch has moved since then.
func TestBuildGitMoved(t *testing.T) {
	host := images(t)
	repo := newRepository(t)
	repo.commit(shop("before"))
	url := repo.serve("").url
	b := newBuilder(t, t.TempDir())
	s := gitSpec(url, "main")
	before, err := b.Identify(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	repo.commit(shop("after"))
	mustBuild(t, b, s, host+"/web:1")
	if got := readImage(t, pull(t, host+"/web:1"), "x"); got != "before" {
		t.Errorf("the image has %q", got)
	}
	after, err := b.Identify(t.Context(), s)
	if err != nil || after == before {
		t.Errorf("the branch has moved, and its identity is the same (%v)", err)
	}
}

// TestIdentifyGitOffline needs no network for a commit hash.
func TestIdentifyGitOffline(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	b := build.New(build.Options{Dir: t.TempDir()})
	s := gitSpec(server.URL+"/shop.git", strings.Repeat("ab", 20))
	id, err := b.Identify(t.Context(), s)
	if err != nil || asked.Load() > 0 {
		t.Fatalf("Identify of a commit = %v, after %d requests", err, asked.Load())
	}
	for name, change := range map[string]func(*plan.BuildSpec){
		"the commit":     func(s *plan.BuildSpec) { s.Source.Ref = strings.Repeat("cd", 20) },
		"the path":       func(s *plan.BuildSpec) { s.Source.Path = "services/api" },
		"the context":    func(s *plan.BuildSpec) { s.Context = "." },
		"the Dockerfile": func(s *plan.BuildSpec) { s.Dockerfile = "Dockerfile" },
	} {
		other := s
		change(&other)
		if got, err := b.Identify(t.Context(), other); err != nil || got == id {
			t.Errorf("with %s changed the identity is the same (%v)", name, err)
		}
	}
}

// TestIdentifyGitCommit: the commit of a plan that was resolved counts, and not what its ref
// names now. It is the name of a directory, so nothing else can be one.
func TestIdentifyGitCommit(t *testing.T) {
	repo := newRepository(t)
	first := repo.commit(shop("first"))
	repo.commit(shop("second"))
	server := repo.serve("")
	cache := t.TempDir()
	b := build.New(build.Options{Dir: t.TempDir(), CacheDir: cache})
	s := gitSpec(server.url, "main")
	s.Source.Commit = first
	got, err := b.Identify(t.Context(), s)
	want, e := b.Identify(t.Context(), gitSpec(server.url, first))
	if err != nil || e != nil || got != want || server.requests.Load() > 0 {
		t.Errorf("Identify = %v, %v; want %v, %v; %d requests", got, err, want, e, server.requests.Load())
	}
	for _, commit := range []string{"../../../escaped", "main", strings.Repeat("ab", 19), strings.Repeat("AB", 20)} {
		s := gitSpec(repo.dir, "main")
		s.Source.Commit = commit
		want := fmt.Sprintf("Pipelinefile:3:1: %q of %s is not a commit", commit, repo.dir)
		if _, err := b.Identify(t.Context(), s); err == nil || err.Error() != want {
			t.Errorf("Identify of %s = %v\nwant %s", commit, err, want)
		}
	}
}

// TestBuildGitPassword builds from a repository whose password is provided by git's
// credential helpers.
func TestBuildGitPassword(t *testing.T) {
	const password = "p4ssw0rd-of-git"
	host := images(t)
	repo := newRepository(t)
	repo.commit(shop("private"))
	url := repo.serve(password).url
	helper := filepath.Join(t.TempDir(), "config")
	text := "[credential]\n\thelper = \"!f() { echo username=me; echo password=" + password + "; }; f\"\n"
	if err := os.WriteFile(helper, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", helper)
	b := newBuilder(t, t.TempDir())
	s := gitSpec(url, "main")
	if _, err := b.Identify(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	_, r := mustBuild(t, b, s, host+"/web:1")
	if got := readImage(t, pull(t, host+"/web:1"), "x"); got != "private" {
		t.Errorf("the image has %q", got)
	}
	if text := r.text() + grep(t, filepath.Join(home, "buildkit"), password); strings.Contains(text, password) {
		t.Errorf("the password was told or kept:\n%s", text)
	}
}

// TestIdentifyGitWrong tests git sources that cannot be resolved.
func TestIdentifyGitWrong(t *testing.T) {
	repo := newRepository(t)
	repo.commit(shop("x"))
	private := repo.serve("secret").url
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	t.Setenv("GIT_SSH_COMMAND", "echo no way there >&2; false") // on a line of its own, as ssh does
	b := build.New(build.Options{Dir: t.TempDir(), CacheDir: t.TempDir()})
	at := "Pipelinefile:3:1: "
	for _, test := range []struct{ url, ref, want string }{
		{repo.dir, "nothere", at + repo.dir + " has no branch or tag nothere: check its name; a commit must be given in full, with 40 digits"},
		{"/no/such/repo", "main", at + "ask /no/such/repo for main: git ls-remote: '/no/such/repo' does not appear to be a git repository; Could not read from remote repository."},
		{"ssh://git@127.0.0.1/x.git", "main", at + "ask ssh://git@127.0.0.1/x.git for main: git ls-remote: no way there"},
		{private, "main", at + "ask " + private + " for main: git ls-remote: could not read Username for '" + strings.TrimSuffix(private, "/shop/.git") + "': terminal prompts disabled: the server requires a password: add it to one of git's credential helpers"},
		{"http://me:hunter2@127.0.0.1:1/x.git", "main", at + "ask http://REDACTED@127.0.0.1:1/x.git for main: git ls-remote: unable to access 'http://127.0.0.1:1/x.git/': "},
		{repo.dir, strings.Repeat("ab", 20), at + "fetch " + strings.Repeat("ab", 20) + " of " + repo.dir + ": no branch or tag contains this commit"},
	} {
		_, err := b.Identify(t.Context(), gitSpec(test.url, test.ref))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("Identify = %v\nwant %s…", err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error has the password: %v", err)
		}
	}
	s := gitSpec(repo.dir, "main")
	s.Dockerfile = "nothere"
	_, err := b.Identify(t.Context(), s)
	if want := at + "there is no Dockerfile services/web/nothere in " + repo.git("rev-parse", "HEAD") + " of " + repo.dir + ": write it, or name another with build = dockerfile(file = …)"; err == nil || err.Error() != want {
		t.Errorf("Identify = %v\nwant %s", err, want)
	}
}

// TestBuildGitWrong tests paths that a remote repository does not have.
func TestBuildGitWrong(t *testing.T) {
	host := images(t)
	repo := newRepository(t)
	commit := repo.commit(shop("x"))
	url := repo.serve("").url
	b := newBuilder(t, t.TempDir())
	s := gitSpec(url, "main")
	s.Dockerfile = "nothere"
	_, err := fails(t, b, s, host+"/web:1")
	want := "Pipelinefile:3:1: there is no Dockerfile services/web/nothere in " + commit + " of " + url +
		": write it, or name another with build = dockerfile(file = …)"
	if err.Error() != want {
		t.Errorf("Build = %v\nwant %s", err, want)
	}
	unknown := strings.Repeat("ab", 20)
	_, err = fails(t, b, gitSpec(url, unknown), host+"/web:1")
	want = "Pipelinefile:3:1: fetch " + unknown + " of " + url + ": no branch or tag contains this commit"
	if err.Error() != want {
		t.Errorf("Build = %v\nwant %s", err, want)
	}
}
