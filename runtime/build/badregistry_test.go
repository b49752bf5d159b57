package build_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/runtime"
)

// A badRegistry is a registry. A test can answer some requests instead of it.
type badRegistry struct {
	host string
	real http.Handler
	bad  atomic.Pointer[disturbance]
}

// A disturbance answers a request, or returns false.
type disturbance func(w http.ResponseWriter, q *http.Request) bool

func newBadRegistry(t testing.TB) *badRegistry {
	t.Helper()
	r := &badRegistry{real: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if bad := r.bad.Load(); bad == nil || !(*bad)(w, q) {
			r.real.ServeHTTP(w, q)
		}
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// pushed puts an image at name, and returns the digest of its layer.
func (r *badRegistry) pushed(t testing.TB, at string) (layer string) {
	t.Helper()
	image, err := random.Image(3000, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.host + "/" + at)
	if err == nil {
		err = remote.Write(ref, image)
	}
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// answers is the disturbance that answers requests with an error of a registry.
func answers(when func(q *http.Request) bool, status int, code, message string) disturbance {
	return func(w http.ResponseWriter, q *http.Request) bool {
		if !when(q) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
		return true
	}
}

func each(q *http.Request) bool { return q.URL.Path != "/v2/" }

func reads(q *http.Request) bool { return q.Method == http.MethodGet && each(q) }

func sends(q *http.Request) bool { return q.Method == http.MethodPut || q.Method == http.MethodPatch }

// half answers with a part of what the registry answers, and ends the connection.
func (r *badRegistry) half(w http.ResponseWriter, q *http.Request) {
	full := httptest.NewRecorder()
	q.Header.Del("Range")
	r.real.ServeHTTP(full, q)
	w.Header().Set("Content-Length", strconv.Itoa(full.Body.Len()))
	_, _ = w.Write(full.Body.Bytes()[:full.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// TestBaseOfBadRegistry builds from images of registries that do not give them: the error names
// the registry and what to do, and nothing is pushed.
func TestBaseOfBadRegistry(t *testing.T) {
	for _, test := range []struct {
		name string
		bad  func(r *badRegistry, layer string) disturbance
		want string // after "the image HOST/base:1 cannot be pulled: "
	}{
		{"401", func(*badRegistry, string) disturbance {
			return answers(each, 401, "UNAUTHORIZED", "authentication required")
		},
			"registry HOST returned 401 Unauthorized: log in with 'docker login HOST'"},
		{"403", func(*badRegistry, string) disturbance { return answers(reads, 403, "DENIED", "pull access\ndenied") },
			"registry HOST returned 403 Forbidden (denied: pull access denied): log in with 'docker login HOST'"},
		{"429", func(*badRegistry, string) disturbance { return answers(each, 429, "TOOMANYREQUESTS", "slow down") },
			"registry HOST returned 429 Too Many Requests: log in with 'docker login HOST', or try again later"},
		{"500", func(*badRegistry, string) disturbance { return answers(each, 500, "UNKNOWN", "oops") },
			"registry HOST returned 500 Internal Server Error: try again, or ask the operator of the registry"},
		{"other content", func(r *badRegistry, layer string) disturbance {
			return func(w http.ResponseWriter, q *http.Request) bool {
				if q.Method != http.MethodGet || !strings.HasSuffix(q.URL.Path, layer) {
					return false
				}
				full := httptest.NewRecorder()
				r.real.ServeHTTP(full, q)
				_, _ = w.Write(bytes.Repeat([]byte("x"), full.Body.Len()))
				return true
			}
		}, "registry HOST serves other content than the digest says: the image is damaged there: push it again, or use another image"},
		{"half a blob", func(r *badRegistry, layer string) disturbance {
			return func(w http.ResponseWriter, q *http.Request) bool {
				if q.Method == http.MethodGet && strings.HasSuffix(q.URL.Path, layer) {
					r.half(w, q)
				}
				return false
			}
		}, "registry HOST ends its connections too early: try again, or ask its operator"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newBadRegistry(t)
			bad := test.bad(r, r.pushed(t, "base:1"))
			r.bad.Store(&bad)
			dir := workspace(t, files{"web/Dockerfile": "FROM " + r.host + "/base:1\nCOPY x /\n", "web/x": t.Name()})
			ref := images(t) + "/web:1"
			_, err := fails(t, newBuilder(t, dir), spec("web"), ref)
			want := ": the image HOST/base:1 cannot be pulled: " + test.want
			if !strings.HasSuffix(err.Error(), strings.ReplaceAll(want, "HOST", r.host)) {
				t.Errorf("Build = %v\nwant …%s", err, want)
			}
			if advice, _ := runtime.AdviceOf(err); advice.Do != "correct the name of that image, or run again when its registry can be reached" {
				t.Errorf("the advice is %q", advice.Do)
			}
			if _, err := (testRegistry{}).Resolve(t.Context(), ref); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("the image was pushed: %v", err)
			}
		})
	}
}

// TestBaseOfBusyRegistry builds from an image of a registry that asks to wait: it is asked again
// after that time.
func TestBaseOfBusyRegistry(t *testing.T) {
	t.Parallel()
	r := newBadRegistry(t)
	r.pushed(t, "base:1")
	var waits atomic.Bool // the build
	busy := disturbance(func(w http.ResponseWriter, q *http.Request) bool {
		if !each(q) || waits.Load() {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	r.bad.Store(&busy)
	dir := workspace(t, files{"web/Dockerfile": "FROM " + r.host + "/base:1\nCOPY x /\n", "web/x": t.Name()})
	var retried []runtime.Retried
	if _, err := newBuilder(t, dir).Build(t.Context(), spec("web"), images(t)+"/web:1", func(b runtime.Body) {
		if again, ok := b.(runtime.Retried); ok {
			retried = append(retried, again)
			waits.Store(true)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if len(retried) != 1 || retried[0].Again != 1 || retried[0].Wait != 1 || !strings.Contains(retried[0].Error, "429 Too Many Requests") {
		t.Errorf("retries: %+v, want one after a second", retried)
	}
}

// TestPushToBadRegistry pushes to registries that do not take the image: the error names the
// registry and what to do, and the image has no tag.
func TestPushToBadRegistry(t *testing.T) {
	for _, test := range []struct {
		name   string
		bad    disturbance
		want   string
		advice string
	}{
		{"403", answers(sends, 403, "DENIED", "requested access to the resource is denied"),
			"registry HOST returned an error (denied): log in with 'docker login HOST'", ""},
		{"429", answers(each, 429, "TOOMANYREQUESTS", "slow down"),
			"registry HOST returned 429 Too Many Requests: log in with 'docker login HOST', or try again later", ""},
		{"500", answers(each, 500, "UNKNOWN", "oops"),
			"registry HOST returned 500 Internal Server Error: try again, or ask the operator of the registry", ""},
		{"no space", answers(sends, 500, "UNKNOWN", "write /images/x: no space left on device"),
			"unknown: write /images/x: no space left on device: free some space, or raise its quota", "make room on the disk of the registry and run again"},
		{"quota", answers(sends, 413, "DENIED", "disk quota exceeded"),
			"registry HOST returned an error (denied: disk quota exceeded): free some space, or raise its quota", "make room on the disk of the registry and run again"},
		{"cut", func(_ http.ResponseWriter, q *http.Request) bool {
			if sends(q) {
				panic(http.ErrAbortHandler)
			}
			return false
		}, "registry HOST ends its connections too early: try again, or ask its operator", "run again when it can be reached"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newBadRegistry(t)
			r.bad.Store(&test.bad)
			dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY x /\n", "web/x": t.Name()})
			ref := r.host + "/web:1"
			_, err := fails(t, newBuilder(t, dir), spec("web"), ref)
			want := "push the image to " + ref + ": " + strings.ReplaceAll(test.want, "HOST", r.host)
			if err.Error() != want {
				t.Errorf("Build = %v\nwant %s", err, want)
			}
			if advice, _ := runtime.AdviceOf(err); advice.Do != test.advice {
				t.Errorf("the advice is %q, want %q", advice.Do, test.advice)
			}
			r.bad.Store(nil)
			if _, err := (testRegistry{}).Resolve(t.Context(), ref); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("the image has its tag: %v", err)
			}
		})
	}
}

// TestHeadIsRefused builds with registries that refuse HEAD requests for manifests, and answer
// those with GET.
func TestHeadIsRefused(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			r := newBadRegistry(t)
			r.pushed(t, "base:1")
			bad := answers(func(q *http.Request) bool {
				return q.Method == http.MethodHead && strings.Contains(q.URL.Path, "/manifests/")
			}, status, "UNSUPPORTED", "no HEAD")
			r.bad.Store(&bad)
			dir := workspace(t, files{"web/Dockerfile": "FROM " + r.host + "/base:1\nCOPY x /\n", "web/x": t.Name()})
			for range 2 {
				mustBuild(t, newBuilder(t, dir), spec("web"), r.host+"/web:1")
			}
		})
	}
}

// TestTokenRunsOut builds with a registry whose tokens expire while a base image is read and while
// the image is pushed.
func TestTokenRunsOut(t *testing.T) {
	r := newBadRegistry(t)
	r.pushed(t, "base:1")
	var issued, used atomic.Int32
	bad := disturbance(func(w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/token" {
			used.Store(0)
			fmt.Fprintf(w, `{"token":"token-%d"}`, issued.Add(1))
			return true
		}
		// A token is good for a few requests. Uploads are interrupted, too.
		if q.Header.Get("Authorization") == fmt.Sprintf("Bearer token-%d", issued.Load()) && used.Add(1) <= 2 {
			return false
		}
		why := ""
		if q.Header.Get("Authorization") != "" {
			why = `,error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"%s`, r.host, why))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	r.bad.Store(&bad)
	dir := workspace(t, files{"web/Dockerfile": "FROM " + r.host + "/base:1\nCOPY x /\n", "web/x": t.Name()})
	digest, _ := mustBuild(t, newBuilder(t, dir), spec("web"), r.host+"/web:1")
	r.bad.Store(nil)
	if head(t, r.host+"/web:1") != digest || issued.Load() < 3 {
		t.Errorf("%d tokens were issued, want several", issued.Load())
	}
}
