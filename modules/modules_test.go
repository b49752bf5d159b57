package modules_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/sirupsen/logrus"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/modules"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
)

// A repo is a real git repository.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T, files map[string]string) repo {
	t.Helper()
	r := repo{t, filepath.Join(t.TempDir(), "lib")}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("init", "--quiet", "-b", "main")
	r.commit(files)
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, commits them, and returns the commit.
func (r repo) commit(files map[string]string) string {
	r.t.Helper()
	write(r.t, r.dir, files)
	r.git("add", "-A")
	r.git("commit", "--quiet", "-m", "change")
	return r.git("rev-parse", "HEAD")
}

func (r repo) url(ref string) string { return "git+file://" + r.dir + "@" + ref }

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// project returns a project with a Pipelinefile in a new directory.
func project(t *testing.T, text string) modules.Project {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"Pipelinefile": text})
	return modules.Project{File: filepath.Join(dir, "Pipelinefile"), Root: dir, Cache: filepath.Join(t.TempDir(), "modules")}
}

// eval returns the names of the services, or the error.
func eval(t *testing.T, p modules.Project) (string, error) {
	t.Helper()
	plan, err := interp.Eval(t.Context(), p.File, interp.Options{Root: p.Root, Cache: modules.Cache(p.Cache)})
	if err != nil {
		return "", err
	}
	var names []string
	for _, s := range plan.Services {
		names = append(names, s.Name)
	}
	return strings.Join(names, " "), nil
}

func mustSync(t *testing.T, p modules.Project) []modules.Module {
	t.Helper()
	list, err := p.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const lib = `
load("inner/name.star", "prefix")
def api(name):
    """Declares an API."""
    return container(prefix + name, image = "x:1")
`

// TestGit loads a module of a git repository by tag, by branch and by commit. It is
// an error until it is pinned, and a second Sync changes nothing.
func TestGit(t *testing.T) {
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "one-"`, "README.md": "no module"})
	first := r.git("rev-parse", "HEAD")
	r.git("tag", "-a", "v1.0.0", "-m", "annotated")
	for _, ref := range []string{"v1.0.0", "main", first} {
		t.Run(ref, func(t *testing.T) {
			p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", r.url(ref)+"//web.star"))
			if _, err := eval(t, p); err == nil || !strings.Contains(err.Error(), "is not pinned in Pipelinefile.lock") {
				t.Fatalf("Eval = %v, want an error that the module is not pinned", err)
			}
			list := mustSync(t, p)
			if len(list) != 1 || list[0].Commit != first || list[0].Change != modules.Pinned || !cmp.Equal(list[0].LoadedBy, []string{"Pipelinefile"}) {
				t.Fatalf("Sync = %+v, want %s pinned", list, first)
			}
			if got, err := eval(t, p); err != nil || got != "one-a" {
				t.Errorf("Eval = %q, %v", got, err)
			}
			before, _ := os.ReadFile(p.LockFile())
			if again := mustSync(t, p); again[0].Change != "" {
				t.Errorf("Sync again = %+v, want no change", again)
			}
			if after, _ := os.ReadFile(p.LockFile()); !bytes.Equal(before, after) {
				t.Errorf("lock file: %s, then %s", before, after)
			}
		})
	}
}

// TestDamagedCache checks, for each file of the cache and several kinds of damage,
// that the error of the evaluation names the command that repairs the cache, and that
// Sync does so.
func TestDamagedCache(t *testing.T) {
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "one-"`})
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", r.url("main")+"//web.star"))
	mustSync(t, p)
	files, err := filepath.Glob(filepath.Join(p.Cache, "sha256-*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("the cache contains %q, %v; want a listing and two files", files, err)
	}
	for name, damage := range map[string]func(path string) error{
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"half":    func(path string) error { return os.Truncate(path, 10) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte("\x00garbage"), 0o600) },
		"gone":    os.Remove,
		"a directory": func(path string) error {
			return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "in"), 0o700))
		},
	} {
		for _, path := range files {
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			if _, err := eval(t, p); err == nil || !strings.Contains(err.Error(), "run: pipe mod sync") {
				t.Errorf("%s: Eval = %v, want an error with the command to run", name, err)
			}
			mustSync(t, p)
			if got, err := eval(t, p); err != nil || got != "one-a" {
				t.Errorf("%s: after sync, Eval = %q, %v", name, got, err)
			}
		}
	}
}

func TestUpdate(t *testing.T) {
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "one-"`})
	first := r.git("rev-parse", "HEAD")
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", r.url("main")+"//web.star"))
	mustSync(t, p)
	second := r.commit(map[string]string{"inner/name.star": `prefix = "two-"`})

	mustSync(t, p)
	if got, err := eval(t, p); err != nil || got != "one-a" {
		t.Fatalf("after a commit to the branch, Eval = %q, %v", got, err)
	}
	list, err := p.Update(t.Context(), []string{"git+file:///another@v1"})
	if err != nil || list[0].Change != "" {
		t.Fatalf("Update of another module = %+v, %v", list, err)
	}
	list, err = p.Update(t.Context(), []string{r.url("main")})
	if err != nil || list[0].Change != modules.Updated || list[0].Was != first || list[0].Commit != second {
		t.Fatalf("Update = %+v, %v", list, err)
	}
	if got, err := eval(t, p); err != nil || got != "two-a" {
		t.Errorf("after the update, Eval = %q, %v", got, err)
	}
	// Another machine gets the pinned commit, even after the branch has moved.
	r.commit(map[string]string{"inner/name.star": `prefix = "three-"`})
	p.Cache = filepath.Join(t.TempDir(), "empty")
	if _, err := eval(t, p); err == nil || !strings.Contains(err.Error(), "is pinned, but was not fetched to this machine") {
		t.Errorf("Eval without cache = %v", err)
	}
	mustSync(t, p)
	if got, err := eval(t, p); err != nil || got != "two-a" {
		t.Errorf("on another machine, Eval = %q, %v", got, err)
	}
	// The pin of a module that is no longer loaded is removed.
	write(t, p.Root, map[string]string{"Pipelinefile": `pipeline("x")`})
	mustSync(t, p)
	if data, err := os.ReadFile(p.LockFile()); err != nil || string(data) != "{\n  \"version\": 1,\n  \"modules\": {}\n}\n" {
		t.Errorf("lock file = %s, %v", data, err)
	}
}

// TestTransitive checks that the modules that a module loads are pinned in the same
// lock file.
func TestTransitive(t *testing.T) {
	inner := newRepo(t, map[string]string{"name.star": `prefix = "deep-"`})
	outer := newRepo(t, map[string]string{"web.star": strings.Replace(lib, "inner/name.star", inner.url("main")+"//name.star", 1)})
	p := project(t, "load(\"lib/own.star\", \"api\")\npipeline(\"x\")\napi(\"a\")\n")
	write(t, p.Root, map[string]string{"lib/own.star": fmt.Sprintf("load(%q, remote = \"api\")\napi = remote\n", outer.url("main")+"//web.star")})
	list := mustSync(t, p)
	by := map[string][]string{}
	for _, m := range list {
		by[m.Name] = m.LoadedBy
	}
	want := map[string][]string{outer.url("main"): {"lib/own.star"}, inner.url("main"): {outer.url("main")}}
	if diff := cmp.Diff(want, by); diff != "" {
		t.Errorf("loaded by: -want +got\n%s", diff)
	}
	if got, err := eval(t, p); err != nil || got != "deep-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
}

// TestHTTP uses git over HTTP, with git's own server behind a password. The password
// comes from a credential helper and is not written to the lock file.
func TestHTTP(t *testing.T) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "web-"`})
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=t"},
	}
	server := httptest.NewServer(guarded(backend))
	defer server.Close()
	p := project(t, fmt.Sprintf("load(\"git+%s/lib/.git@main//web.star\", \"api\")\npipeline(\"x\")\napi(\"a\")\n", server.URL))

	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(t.TempDir(), "gitconfig"))
	if _, err := p.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "the server requires a password: add it to one of git's credential helpers") {
		t.Errorf("Sync without password = %v", err)
	}
	if _, err := os.Stat(p.LockFile()); err == nil {
		t.Error("a failed Sync wrote a lock file")
	}
	write(t, filepath.Dir(os.Getenv("GIT_CONFIG_GLOBAL")), map[string]string{
		"gitconfig": "[credential]\n\thelper = \"!f() { echo username=robot; echo password=hunter2; }; f\"\n",
	})
	mustSync(t, p)
	if got, err := eval(t, p); err != nil || got != "web-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
	if data, _ := os.ReadFile(p.LockFile()); strings.Contains(string(data), "hunter2") {
		t.Errorf("the lock file contains the password: %s", data)
	}
}

// registry starts an empty registry and returns its address.
func registry(t *testing.T) string {
	t.Helper()
	logrus.SetOutput(io.Discard)
	s, err := serve.Start(context.Background(), serve.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Addr
}

// push pushes an image with the given layers and returns its digest. The content of a
// file is in the PAX record "text".
func push(t *testing.T, ref string, layers ...[]tar.Header) v1.Hash {
	t.Helper()
	image := empty.Image
	for _, headers := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			text := h.PAXRecords["text"]
			h.PAXRecords = nil
			h.Mode, h.Size = 0o644, int64(len(text))
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(parsed, image); err != nil {
		t.Fatal(err)
	}
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func file(name, text string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, PAXRecords: map[string]string{"text": text}}
}

// TestOCI loads a module from a registry. Later layers take precedence over earlier
// ones, and whiteouts remove the files of earlier ones only; links, devices and FIFOs are ignored.
func TestOCI(t *testing.T) {
	host := registry(t)
	first := push(t, host+"/team/lib:v1",
		[]tar.Header{file("./web.star", lib), file("inner/name.star", `prefix = "old-"`), file("gone.star", "x = 1"), file("was.star", "x = 1"), file("old/a.star", "x = 1"), file("old.star", "x = 1")},
		[]tar.Header{
			file("inner/name.star", `prefix = "oci-"`), file(".wh.gone.star", ""),
			file("old/b.star", "x = 1"), file("old/.wh..wh..opq", ""), file("kept.star", "x = 1"), file(".wh.kept.star", ""),
			{Name: "was.star", Typeflag: tar.TypeSymlink, Linkname: "web.star"}, {Name: "old.star/", Typeflag: tar.TypeDir},
			{Name: "link.star", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
			{Name: "hard.star", Typeflag: tar.TypeLink, Linkname: "web.star"},
			{Name: "zero.star", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5},
			{Name: "pipe.star", Typeflag: tar.TypeFifo},
		})
	text := "load(\"oci://%s/team/lib%s//web.star\", \"api\")\npipeline(\"x\")\napi(\"a\")\n"
	for _, ref := range []string{":v1", "@" + first.String()} {
		p := project(t, fmt.Sprintf(text, host, ref))
		list := mustSync(t, p)
		if string(list[0].Manifest) != first.String() {
			t.Errorf("Sync = %+v, want the manifest %s", list, first)
		}
		if got, err := eval(t, p); err != nil || got != "oci-a" {
			t.Errorf("Eval = %q, %v", got, err)
		}
		listing, err := lock.ReadListing(modules.Cache(p.Cache), list[0].Digest)
		if diff := cmp.Diff([]string{"inner/name.star", "kept.star", "old/b.star", "web.star"}, listing.Names()); diff != "" || err != nil {
			t.Errorf("files: -want +got\n%s%v", diff, err)
		}
	}
	// After the tag has moved, the pinned manifest is fetched until Update.
	p := project(t, fmt.Sprintf(text, host, ":v1"))
	mustSync(t, p)
	second := push(t, host+"/team/lib:v1", []tar.Header{file("web.star", lib), file("inner/name.star", `prefix = "new-"`)})
	p.Cache = filepath.Join(t.TempDir(), "empty")
	mustSync(t, p)
	if got, err := eval(t, p); err != nil || got != "oci-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
	if list, err := p.Update(t.Context(), nil); err != nil || string(list[0].Manifest) != second.String() || list[0].Was != first.String() {
		t.Errorf("Update = %+v, %v", list, err)
	}
	if got, err := eval(t, p); err != nil || got != "new-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
}

// TestInterrupted checks that a cancelled Sync returns the cause and writes no lock
// file, and that the next one removes the leftovers of a killed process.
func TestInterrupted(t *testing.T) {
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "one-"`})
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", r.url("main")+"//web.star"))
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := p.Sync(ctx); !errors.Is(err, why) {
		t.Errorf("Sync = %v, want %v", err, why)
	}
	if _, err := os.Stat(p.LockFile()); err == nil {
		t.Error("Sync wrote a lock file")
	}
	// Leftovers of a killed process.
	write(t, p.Cache, map[string]string{".git-1/objects/x": "", ".x.new-1": "half"})
	write(t, p.Root, map[string]string{".Pipelinefile.lock.new-1": "half"})
	mustSync(t, p)
	for _, left := range []string{filepath.Join(p.Cache, ".git-1"), filepath.Join(p.Cache, ".x.new-1"), filepath.Join(p.Root, ".Pipelinefile.lock.new-1")} {
		if _, err := os.Lstat(left); err == nil {
			t.Errorf("%s is still there", left)
		}
	}
}

// TestConcurrent runs several Syncs concurrently.
func TestConcurrent(t *testing.T) {
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "one-"`})
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", r.url("main")+"//web.star"))
	results := make(chan error)
	for range 4 {
		go func() {
			_, err := p.Sync(t.Context())
			results <- err
		}()
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got, err := eval(t, p); err != nil || got != "one-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
}
