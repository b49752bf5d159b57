package modules_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/modules"
)

// A gate is a git server over HTTP that responds only while it is open.
type gate struct {
	asked chan struct{} // receives when a request starts to wait
	gone  chan struct{} // receives when the client of a waiting request disconnects
	mu    sync.Mutex
	open  chan struct{} // closed while the gate is open; guarded by mu
}

func (g *gate) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
	return sync.OnceFunc(func() { close(g.open) })
}

// gated serves a repository through an open gate, and returns the gate and the name
// of the module.
func gated(t *testing.T, r repo) (g *gate, module string) {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"},
	}
	g = &gate{asked: make(chan struct{}, 100), gone: make(chan struct{}, 100), open: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
		default:
			g.asked <- struct{}{}
			select {
			case <-open:
			case <-req.Context().Done():
				g.gone <- struct{}{}
				return
			}
		}
		backend.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	return g, "git+" + server.URL + "/lib/.git@main"
}

// await receives from c. It waits long: it fails only if something is broken.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s: timed out", what)
		panic("unreachable")
	}
}

// clean fails if a lock file or anything in the cache is left.
func clean(t *testing.T, p modules.Project) {
	t.Helper()
	if _, err := os.Lstat(p.LockFile()); err == nil {
		t.Error("a lock file is left")
	}
	entries, err := os.ReadDir(p.Cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".lock" {
			t.Errorf("%s is left in the cache", e.Name())
		}
	}
}

// TestCancelled cancels a Sync while the server does not respond. The Sync ends
// immediately with all its processes and leaves nothing behind, and the next one
// works. A Sync that waits for the lock can be cancelled, too.
func TestCancelled(t *testing.T) {
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "gate-"`})
	g, module := gated(t, r)
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", module+"//web.star"))
	open := g.shut()
	why, result := errors.New("enough"), make(chan error, 2)
	start := func() context.CancelCauseFunc {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			_, err := p.Sync(ctx)
			result <- err
		}()
		return cancel
	}
	cancel := start()
	await(t, "the first request", g.asked)
	cancelSecond := start() // waits, because the first one holds the lock
	cancelSecond(why)
	if err := await(t, "the second Sync", result); !errors.Is(err, why) {
		t.Errorf("the second Sync = %v, want %v", err, why)
	}
	cancel(why)
	if err := await(t, "the first Sync", result); !errors.Is(err, why) || !strings.HasPrefix(err.Error(), "fetch "+module+": ") {
		t.Errorf("the first Sync = %v, want %v", err, why)
	}
	await(t, "the transfer of git", g.gone)
	clean(t, p)

	// Run two concurrently: one fetches, the other finds the result in the cache.
	start()
	start()
	await(t, "a request", g.asked)
	open()
	for range 2 {
		if err := await(t, "concurrent Syncs", result); err != nil {
			t.Error(err)
		}
	}
	if got, err := eval(t, p); err != nil || got != "gate-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
}

// TestKilled checks that a Sync works after another process was killed while it
// fetched.
func TestKilled(t *testing.T) {
	if file := os.Getenv("MODULES_TEST_FILE"); file != "" { // this is the process to kill
		_, err := modules.Project{File: file, Root: filepath.Dir(file), Cache: os.Getenv("MODULES_TEST_CACHE")}.Sync(t.Context())
		t.Fatal(err)
	}
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "gate-"`})
	g, module := gated(t, r)
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", module+"//web.star"))
	open := g.shut()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "MODULES_TEST_FILE="+p.File, "MODULES_TEST_CACHE="+p.Cache)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a request", g.asked)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // always an error: it was killed
	open()
	mustSync(t, p)
	if got, err := eval(t, p); err != nil || got != "gate-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
}

// TestBounds checks that fetching fails when it takes too long or the repository is
// too large, and leaves nothing behind.
func TestBounds(t *testing.T) {
	noise := make([]byte, 300<<10)
	_, _ = rand.Read(noise)
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "gate-"`, "noise": hex.EncodeToString(noise)})
	g, module := gated(t, r)
	text := "load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n"
	slow := project(t, fmt.Sprintf(text, module+"//web.star")).Within(500*time.Millisecond, 0)
	open := g.shut()
	if _, err := slow.Sync(t.Context()); err == nil || err.Error() != "fetch "+module+": timed out after 500ms" {
		t.Errorf("Sync from a server that does not respond = %v", err)
	}
	clean(t, slow)
	open()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
	t.Cleanup(silent.Close)
	image := "oci://" + strings.TrimPrefix(silent.URL, "http://") + "/lib:v1"
	slow = project(t, fmt.Sprintf(text, image+"//web.star")).Within(500*time.Millisecond, 0)
	if _, err := slow.Sync(t.Context()); err == nil || err.Error() != "fetch "+image+": timed out after 500ms" {
		t.Errorf("Sync from a registry that does not respond = %v", err)
	}
	clean(t, slow)

	for _, module := range []string{module, r.url("main")} {
		large := project(t, fmt.Sprintf(text, module+"//web.star")).Within(0, 200<<10)
		if _, err := large.Sync(t.Context()); err == nil || err.Error() != "fetch "+module+": the repository is larger than 204800 bytes" {
			t.Errorf("Sync of a large repository = %v", err)
		}
		clean(t, large)
		mustSync(t, large.Within(0, 2<<20))
	}
}
