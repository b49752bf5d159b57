package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == helperFile {
		os.Exit(helper(os.Stdin, os.Stdout))
	}
	logrus.SetOutput(io.Discard)
	os.Exit(run(m))
}

// run runs the tests without the user's own credentials.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "docker")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, helperFile)); err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"HOME", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"} {
		os.Setenv(name, dir)
	}
	os.Unsetenv("REGISTRY_AUTH_FILE")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or the helper takes a second with the race detector
	os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

// ours starts an embedded registry.
func ours(t *testing.T) *serve.Server {
	t.Helper()
	s, err := serve.Start(t.Context(), serve.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newRegistry(t *testing.T, prefix string) *Registry {
	t.Helper()
	r, err := New(Options{Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	r.wait = time.Millisecond
	return r
}

// An upstream is another registry, whose requests can be observed and disturbed.
type upstream struct {
	*httptest.Server
	addr string
	real http.Handler

	mu       sync.Mutex
	requests []string
	disturb  func(http.ResponseWriter, *http.Request) bool // answers itself and returns true
}

func newUpstream(t *testing.T, options ...ggcr.Option) *upstream {
	t.Helper()
	return newProxy(t, ggcr.New(append(options, ggcr.Logger(log.New(io.Discard, "", 0)))...))
}

// newProxy returns a server in front of a registry.
func newProxy(t *testing.T, real http.Handler) *upstream {
	t.Helper()
	u := &upstream{real: real}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.requests = append(u.requests, r.Method+" "+r.URL.Path)
		disturb := u.disturb
		u.mu.Unlock()
		if disturb != nil && disturb(w, r) {
			return
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(u.Close)
	u.addr = strings.TrimPrefix(u.URL, "http://")
	return u
}

// half answers with the first half of what the registry answers, and leaves the rest to then.
func (u *upstream) half(w http.ResponseWriter, r *http.Request, then func()) {
	full := httptest.NewRecorder()
	u.real.ServeHTTP(full, r)
	for key, values := range full.Header() {
		w.Header()[key] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(full.Body.Len()))
	w.WriteHeader(full.Code)
	_, _ = w.Write(full.Body.Bytes()[:full.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	then()
}

// aborts ends a connection.
func aborts() { panic(http.ErrAbortHandler) }

func (u *upstream) when(disturb func(http.ResponseWriter, *http.Request) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.disturb = disturb
}

// seen returns the requests since its last call that contain part.
func (u *upstream) seen(part string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []string
	for _, r := range u.requests {
		if strings.Contains(r, part) {
			all = append(all, r)
		}
	}
	u.requests = nil
	return all
}

func mustRef(t *testing.T, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// push puts an image, or an index of images, at ref.
func push(t *testing.T, ref string, what remote.Taggable) plan.Digest {
	t.Helper()
	pusher, err := remote.NewPusher()
	if err != nil {
		t.Fatal(err)
	}
	if err := pusher.Push(t.Context(), mustRef(t, ref), what); err != nil {
		t.Fatal(err)
	}
	digest, err := what.(interface{ Digest() (v1.Hash, error) }).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return plan.Digest(digest.String())
}

// events collects the events that are emitted.
type events struct {
	mu  sync.Mutex
	all []runtime.Body
}

func (e *events) emit(b runtime.Body) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, b)
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/acme/shop"} {
		t.Run("prefix"+prefix, func(t *testing.T) {
			t.Parallel()
			s, u := ours(t), newUpstream(t)
			registry := newRegistry(t, s.Addr+prefix)
			registry.shared = prefix != ""
			runtimetest.TestRegistry(t, runtimetest.RegistryTest{
				Claims:   registry.shared,
				Registry: registry,
				Push:     func(t *testing.T, ref string) plan.Digest { return push(t, ref, image(t)) },
				Upstream: func(t *testing.T, name string) (string, plan.Digest) {
					src := u.addr + "/" + name
					return src, push(t, src, image(t))
				},
				Missing: u.addr + "/missing:1",
			})
		})
	}
}

func TestRef(t *testing.T) {
	t.Parallel()
	digest := plan.DigestOf(nil)
	hex := strings.TrimPrefix(string(digest), "sha256:")
	other := strings.TrimPrefix(string(plan.DigestOf([]byte("sha256:not/a tag"))), "sha256:")
	for _, row := range []struct{ prefix, service, want string }{
		{"127.0.0.1:5000", "web", "127.0.0.1:5000/web:" + hex},
		{"ghcr.io/acme/shop/", "web", "ghcr.io/acme/shop/web:" + hex},
		{"docker.io/acme", "web", "docker.io/acme/web:" + hex},
	} {
		if got := newRegistry(t, row.prefix).Ref(row.service, digest); got != row.want {
			t.Errorf("Ref in %s = %s, want %s", row.prefix, got, row.want)
		}
	}
	if got, want := newRegistry(t, "ghcr.io").Ref("web", "sha256:not/a tag"), "ghcr.io/web:"+other; got != want {
		t.Errorf("Ref of a strange identity = %s, want %s", got, want)
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ prefix, want string }{
		{"https://ghcr.io/acme", `registry "https://ghcr.io/acme": leave https:// out`},
		{"https://me:hunter2@ghcr.io/acme", `registry "https://REDACTED@ghcr.io/acme": it has a user or a password in it: remove it, and log in: docker login HOST`},
		{"me:hunter2@ghcr.io/acme", `registry "REDACTED@ghcr.io/acme": it has a user or a password in it: remove it, and log in: docker login HOST`},
		{"", `registry "": not the name of a host`},
		{"shop", `registry "shop": not the name of a host`},
		{"localhost:5000//shop", `registry "localhost:5000//shop": a part of its path is empty`},
		{"ghcr.io/Acme", `registry "ghcr.io/Acme": "ghcr.io/Acme/any:tag" is not an image reference: write one such as ghcr.io/acme/web:1.2, in lower-case letters and without https://`},
	} {
		if _, err := New(Options{Prefix: row.prefix}); err == nil || err.Error() != row.want {
			t.Errorf("New(%q) = %v\nwant %s", row.prefix, err, row.want)
		}
	}
}

func TestPlainHTTPOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	w := newWire([]string{"registry.test:5000"})
	for host, want := range map[string]bool{
		"127.0.0.1:5000": true, "127.9.9.9": true, "localhost": true, "localhost:1": true, "[::1]:5000": true, "registry.test:5000": true,
		"registry.test": false, "10.0.0.1:5000": false, "ghcr.io": false, "localhost.evil.test": false, "registry.local": false,
	} {
		if got := w.plain(host); got != want {
			t.Errorf("plain(%s) = %v, want %v", host, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "http://10.0.0.1:1/v2/", nil)
	if _, err := w.RoundTrip(r); !errors.Is(err, errNeedTLS) {
		t.Errorf("http to another machine = %v, want %v", err, errNeedTLS)
	}
	u := newUpstream(t)
	r = httptest.NewRequest(http.MethodGet, "https://"+u.addr+"/v2/", nil)
	answer, err := w.RoundTrip(r)
	if err != nil || answer.Request.URL.Scheme != "http" || r.URL.Scheme != "https" {
		t.Errorf("https to loopback = %+v, %v; want an answer by http, and the request as it was", answer, err)
	}
}

// A run without changes does this a hundred times.
func BenchmarkResolve(b *testing.B) {
	s, err := serve.Start(b.Context(), serve.Options{Dir: b.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r, err := New(Options{Prefix: s.Addr})
	if err != nil {
		b.Fatal(err)
	}
	img, err := random.Image(1000, 1)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 50 {
		ref, err := name.ParseReference(fmt.Sprintf("%s/web%d:1", s.Addr, i))
		if err != nil {
			b.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			b.Fatal(err)
		}
	}
	for _, many := range []int{1, 50} {
		b.Run(fmt.Sprintf("repositories-%d", many), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, err := r.Resolve(b.Context(), fmt.Sprintf("%s/web%d:1", s.Addr, i%many)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestPlainHTTPByName(t *testing.T) {
	t.Parallel()
	s := ours(t)
	r, err := New(Options{Prefix: "registry.test", PlainHTTP: []string{"registry.test"}})
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	r.wire.inner = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, s.Addr)
	}}
	_, err = r.Resolve(t.Context(), "registry.test/web:1")
	// The embedded registry was reached if it rejects the name.
	if err == nil || !strings.Contains(err.Error(), "this registry is not registry.test") {
		t.Errorf("Resolve = %v", err)
	}
}
