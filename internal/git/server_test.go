package git_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pipelinefile/pipe/internal/git"
)

// TestMain lets the test binary also act as the program git-lfs, and as a process that gets
// checkouts.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "git-lfs" {
		if err := lfs(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(0)
	}
	if len(os.Args) == 5 && os.Args[1] == "get-checkout" {
		c := &git.Checkouts{Dir: os.Args[2]}
		bufio.NewReader(os.Stdin).ReadString('\n') // the test starts all processes together
		got, err := get(context.Background(), c, os.Args[3], os.Args[4])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(got.Dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// get returns the checkout of a commit of a repository.
func get(ctx context.Context, c *git.Checkouts, repository, commit string) (*git.Checkout, error) {
	return c.Get(ctx, commit, func(ctx context.Context, work string) ([]string, error) {
		return git.FetchAll(ctx, git.ForSources(), repository, commit, work)
	})
}

// A server serves repositories over HTTP.
type server struct {
	t    *testing.T
	root string
	url  string

	mu       sync.Mutex
	old      bool                         // speaks only the first version of the protocol, which sends no commits that are not advertised
	before   func(req *http.Request) bool // called with each request; false: the request was cancelled
	requests []string
}

func newServer(t *testing.T) *server {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	s := &server{t: t, root: t.TempDir()}
	handler := &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(s.git("", "--exec-path")), "git-http-backend"),
		Stderr: io.Discard, // clients receive the same messages
		Env:    []string{"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, req.Method+" "+req.URL.Path)
		old, before := s.old, s.before
		s.mu.Unlock()
		if before != nil && !before(req) {
			return
		}
		if old {
			req.Header.Del("Git-Protocol")
		}
		handler.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// set changes how the server answers.
func (s *server) set(old bool, before func(*http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.old, s.before = old, before
}

// count returns the number of requests for a path, and forgets all requests.
func (s *server) count(path string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if strings.HasSuffix(r, path) {
			n++
		}
	}
	s.requests = nil
	return n
}

func (s *server) git(dir string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A served is a repository of a server, with a directory to make commits in.
type served struct {
	*server
	name, dir, url string
}

func (s *server) repository(name string) *served {
	s.t.Helper()
	r := &served{s, name, s.t.TempDir(), s.url + "/" + name}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(s.root, name)), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.git("", "init", "--quiet", "--initial-branch=main", "--separate-git-dir", filepath.Join(s.root, name), r.dir)
	return r
}

// A sub is a submodule of a commit. Its URL can be relative.
type sub struct{ name, path, url, commit, update string }

// commit commits files by path, and submodules. A content that begins with "-> " is the target
// of a link.
func (r *served) commit(files map[string]string, subs ...sub) string {
	r.t.Helper()
	var modules strings.Builder
	for _, s := range subs {
		if s.name != "" {
			fmt.Fprintf(&modules, "[submodule %q]\n\tpath = %s\n\turl = %s\n", s.name, s.path, s.url)
		}
		if s.update != "" {
			fmt.Fprintf(&modules, "\tupdate = %s\n", s.update)
		}
		r.git(r.dir, "update-index", "--add", "--cacheinfo", "160000,"+s.commit+","+s.path)
	}
	if modules.Len() > 0 {
		r.write(".gitmodules", modules.String())
	}
	for name, content := range files {
		r.write(name, content)
	}
	r.git(r.dir, "commit", "--quiet", "--allow-empty", "--message=x")
	return r.git(r.dir, "rev-parse", "HEAD")
}

func (r *served) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.git(r.dir, "add", "--force", "--", name)
}

// fetch fetches a commit with its submodules, and returns its files.
func (s *server) fetch(repository, commit string) (files map[string]string, pointers []string, err error) {
	s.t.Helper()
	work := filepath.Join(s.t.TempDir(), "work")
	pointers, err = git.FetchAll(s.t.Context(), git.ForSources(), repository, commit, work)
	if err != nil {
		return nil, nil, err
	}
	return s.files(work), pointers, nil
}

// files returns the content of the files below a directory, by path, and "directory" for an
// empty directory.
func (s *server) files(dir string) map[string]string {
	s.t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			entries, err := os.ReadDir(path)
			if len(entries) == 0 {
				files[rel] = "directory"
			}
			return err
		case d.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			files[rel] = "-> " + target
			return err
		}
		data, err := os.ReadFile(path)
		files[rel] = string(data)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}
