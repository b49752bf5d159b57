package modules_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/modules"
)

// guarded wraps h in basic authentication.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "robot" || pass != "hunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// TestHostileGit checks that links, submodules and filters of a repository have no
// effect, and that files beyond the limits are an error.
func TestHostileGit(t *testing.T) {
	other := newRepo(t, map[string]string{"secret.star": "x = 1"})
	r := newRepo(t, map[string]string{"web.star": "x = 1", ".gitattributes": "*.star filter=evil\n"})
	if err := os.Symlink("/etc/passwd", filepath.Join(r.dir, "link.star")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(r.dir, "up")); err != nil {
		t.Fatal(err)
	}
	r.git("submodule", "--quiet", "add", other.dir, "sub")
	r.commit(nil)
	commit := r.git("rev-parse", "HEAD")
	for _, tt := range []struct{ file, want string }{
		{"link.star", "Pipelinefile:1:1: load: MODULE has no file link.star"},
		{"up/web.star", "Pipelinefile:1:1: load: MODULE has no file up/web.star"},
		{"sub/secret.star", "Pipelinefile:1:1: load: MODULE has no file sub/secret.star"},
	} {
		p := project(t, fmt.Sprintf("load(%q, \"x\")\n", r.url(commit)+"//"+tt.file))
		_, err := p.Sync(t.Context())
		if want := strings.ReplaceAll(tt.want, "MODULE", r.url(commit)); err == nil || err.Error() != want {
			t.Errorf("%s: Sync = %v, want %s", tt.file, err, want)
		}
	}

	big := newRepo(t, map[string]string{"web.star": "#" + strings.Repeat("x", lock.MostSize)})
	many := map[string]string{}
	for i := range lock.MostFiles + 1 {
		many[fmt.Sprintf("m%d.star", i)] = ""
	}
	for _, tt := range []struct {
		name, ref, want string
		repo            repo
	}{
		{"too large", "main", "web.star is larger than 1048576 bytes", big},
		{"too many", "main", "the module has more than 2000 files", newRepo(t, many)},
		{"nothing", "main", "the module has no .star file", newRepo(t, map[string]string{"README": ""})},
		{"no such ref", "v9", "the repository has no branch or tag v9: check its name; a commit must be given in full", r},
	} {
		t.Run(tt.name, func(t *testing.T) {
			module := tt.repo.url(tt.ref)
			p := project(t, fmt.Sprintf("load(%q, \"x\")\n", module+"//web.star"))
			_, err := p.Sync(t.Context())
			if want := "fetch " + module + ": " + tt.want; err == nil || err.Error() != want {
				t.Errorf("Sync = %v, want %s", err, want)
			}
			if _, err := os.Lstat(p.LockFile()); err == nil {
				t.Error("Sync has written a lock file")
			}
		})
	}
}

// TestHostileImage checks that paths outside of a layer, invalid names, large files
// and layers that unpack to too much are errors.
func TestHostileImage(t *testing.T) {
	host := registry(t)
	zeros := strings.Repeat("\x00", 33<<20)
	for _, tt := range []struct {
		name, want string
		layer      []tar.Header
	}{
		{"parent", `the module has a file with the invalid name "../../etc/cron.star"`, []tar.Header{file("../../etc/cron.star", "")}},
		{"absolute", `the module has a file with the invalid name "/etc/cron.star"`, []tar.Header{file("/etc/cron.star", "")}},
		{"newline", `the module has a file with the invalid name "a\nb.star"`, []tar.Header{file("a\nb.star", "")}},
		{"large", "web.star is larger than 1048576 bytes", []tar.Header{file("web.star", strings.Repeat("#", lock.MostSize+1))}},
		{"bomb", "the layers unpack to more than 67108864 bytes", []tar.Header{file("a", zeros), file("b", zeros)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := host + "/hostile/" + tt.name + ":v1"
			push(t, image, tt.layer)
			p := project(t, fmt.Sprintf("load(\"oci://%s//web.star\", \"x\")\n", image))
			_, err := p.Sync(t.Context())
			if want := "fetch oci://" + image + ": " + tt.want; err == nil || err.Error() != want {
				t.Errorf("Sync = %v, want %s", err, want)
			}
		})
	}
}

// TestVerify checks that Verify and the evaluation report missing and damaged files
// of the cache, that Sync repairs them, and that a module whose content does not
// match the lock file is an error.
func TestVerify(t *testing.T) {
	r := newRepo(t, map[string]string{"web.star": "x = 1", "other.star": "y = 1"})
	p := project(t, fmt.Sprintf("load(%q, \"x\")\npipeline(\"x\")\n", r.url("main")+"//web.star"))
	problem := func() string {
		t.Helper()
		list, err := p.Verify(t.Context())
		if err != nil || len(list) != 1 || list[0].Fetched != (list[0].Problem == "") {
			t.Fatalf("Verify = %+v, %v", list, err)
		}
		return list[0].Problem
	}
	ended, end := context.WithCancelCause(t.Context())
	end(errors.New("enough"))
	if list, err := p.Verify(ended); list != nil || err == nil || err.Error() != "enough" {
		t.Errorf("Verify with a cancelled context = %v, %v", list, err)
	}
	expect := func(want string) {
		t.Helper()
		if got := problem(); got != want {
			t.Errorf("Verify: problem %q, want %q", got, want)
		}
	}
	expect("it is not pinned")
	pinned := mustSync(t, p)[0]
	expect("")
	listing, err := lock.ReadListing(modules.Cache(p.Cache), pinned.Digest)
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(p.Cache, lock.Name(listing["web.star"]))
	if err := os.WriteFile(kept, []byte("x = 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	const two = "sha256:3dd12b88f62b8d7b9ba4ef4a29a7a7f1fd50d1a2c9e9d3ab62ff5acfe0a50ee7"
	if got := problem(); !strings.HasPrefix(got, "web.star: the file that is stored as "+string(listing["web.star"])+" has the digest sha256:") {
		t.Errorf("Verify: problem %q", got)
	}
	if _, err := eval(t, p); err == nil || !strings.Contains(err.Error(), "is not what it was pinned to: the file that is stored as ") {
		t.Errorf("Eval of changed content = %v", err)
	}
	mustSync(t, p)
	expect("")
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	expect("web.star: it has not been fetched to this machine")
	mustSync(t, p)

	// The lock file pins another digest than the fetched content has.
	data, err := os.ReadFile(p.LockFile())
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), string(pinned.Digest), two, 1)
	if err := os.WriteFile(p.LockFile(), []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	module := r.url("main")
	want := fmt.Sprintf("fetch %s: %s has the content %s, but Pipelinefile.lock pins %s: to accept the change, run: pipe mod update %s",
		module, pinned.Commit, pinned.Digest, two, module)
	if _, err := p.Sync(t.Context()); err == nil || err.Error() != want {
		t.Errorf("Sync = %v, want %s", err, want)
	}
	if err := os.WriteFile(p.LockFile(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Sync(t.Context()); err == nil || err.Error() != p.LockFile()+" cannot be read: it is not JSON: unexpected end of JSON input" {
		t.Errorf("Sync = %v", err)
	}
}
