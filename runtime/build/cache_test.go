package build_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// guarded returns a registry in front of the real one, which answers a request only if
// allow does.
func guarded(t testing.TB, allow func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: testenv.Registry(t)})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allow(w, r) {
			to.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// warnings returns the warnings among the events.
func (r *record) warnings() (all []plan.Diagnostic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e, ok := e.(runtime.Warned); ok {
			all = append(all, e.Diagnostic)
		}
	}
	return all
}

// stepErrors returns the errors of steps.
func (r *record) stepErrors() (all []string) {
	for _, e := range r.events {
		if e, ok := e.(runtime.BuildStep); ok && e.Error != "" {
			all = append(all, e.Error)
		}
	}
	return all
}

// cachedStep reports whether a step, by a part of its name, came from a cache.
func (r *record) cachedStep(name string) bool {
	for _, e := range r.events {
		if e, ok := e.(runtime.BuildStep); ok && e.Cached && strings.Contains(e.Name, name) {
			return true
		}
	}
	return false
}

const staged = shell + "RUN echo tools >/tools\nFROM scratch AS server\nCOPY --from=0 /tools /tools\nCOPY x /\n"

// TestCache builds on two builders that share nothing but the registry. The second one finds
// the steps of the first one, also those of a stage that is not in the image.
func TestCache(t *testing.T) {
	const password = "p4ssw0rd-of-cache"
	host := guarded(t, func(w http.ResponseWriter, r *http.Request) bool {
		if user, pass, _ := r.BasicAuth(); user == "me" && pass == password {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	})
	repo := strings.ToLower(t.Name())
	for i, x := range []string{"first", "second"} {
		// Another checkout, on another machine.
		dir := workspace(t, files{"web/Dockerfile": staged, "web/busybox": "", "web/x": x})
		b := build.New(build.Options{
			Dir: dir, Addresses: []string{startWorker(t).addr}, Cache: host + "/" + repo + "/cache",
			Password: func(h string) (string, string, bool) { return "me", password, h == host },
		})
		t.Cleanup(func() { b.Close() })
		_, r := mustBuild(t, b, spec("web"), fmt.Sprintf("%s/%s/web:%d", host, repo, i))
		if got := r.cachedStep("RUN echo tools"); got != (i == 1) {
			t.Errorf("build %d: cached is %v\n%s", i, got, r.text())
		}
		if w := r.warnings(); len(w) > 0 {
			t.Errorf("build %d warns: %+v", i, w)
		}
		if errs := r.stepErrors(); len(errs) > 0 {
			t.Errorf("build %d has steps that failed: %q", i, errs)
		}
		if strings.Contains(r.text(), password) {
			t.Errorf("the events have the password:\n%s", r.text())
		}
	}
}

// TestCacheFails builds with a registry that does not keep the cache: the image is built, and
// a warning says why.
func TestCacheFails(t *testing.T) {
	images := testenv.Registry(t)
	refuse := func(status int, what ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			for _, method := range what {
				if r.Method == method && r.URL.Path != "/v2/" {
					w.WriteHeader(status)
					return false
				}
			}
			return true
		}
	}
	reads, writes := []string{http.MethodHead, http.MethodGet}, []string{http.MethodPost, http.MethodPut, http.MethodPatch}
	for _, test := range []struct {
		name, host string
		want       []string // in the messages of the warnings
		hint       string
	}{
		{"read-only", guarded(t, refuse(http.StatusForbidden, writes...)), []string{"cannot be written to HOST/r/cache:"}, "log in with 'docker login HOST'"},
		{"no access", guarded(t, refuse(http.StatusForbidden, append(reads, writes...)...)),
			[]string{"cannot be read from HOST/r/cache:", "cannot be written to HOST/r/cache:"}, "log in with 'docker login HOST'"},
		{"broken", guarded(t, refuse(http.StatusInternalServerError, append(reads, writes...)...)),
			[]string{"cannot be read from HOST/r/cache:", "cannot be written to HOST/r/cache:"}, "the image does not need it; check that the registry can be reached and accepts the cache"},
		{"full", guarded(t, refuse(http.StatusInsufficientStorage, writes...)), []string{"cannot be written to HOST/r/cache:"},
			"the image does not need it; free some space, or raise its quota"},
		{"not there", "127.0.0.1:1", []string{"cannot be read from HOST/r/cache:", "cannot be written to HOST/r/cache:"},
			"the image does not need it; check that the registry can be reached and accepts the cache"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := workspace(t, files{"web/Dockerfile": staged, "web/busybox": "", "web/x": t.Name()})
			b := build.New(build.Options{Dir: dir, Addresses: []string{buildkit(t)}, Cache: test.host + "/r/cache"})
			t.Cleanup(func() { b.Close() })
			ref := images + "/" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + ":1"
			digest, r := mustBuild(t, b, spec("web"), ref)
			if head(t, ref) != digest {
				t.Errorf("the image is not in the registry")
			}
			warnings := r.warnings()
			if len(warnings) != len(test.want) {
				t.Fatalf("the warnings are %+v, want %q", warnings, test.want)
			}
			for i, w := range warnings {
				t.Log(w.Message)
				want := "the cache of the build of web " + strings.ReplaceAll(test.want[i], "HOST", test.host)
				if !strings.HasPrefix(w.Message, want) || w.Pos != spec("web").Pos || w.Hint != strings.ReplaceAll(test.hint, "HOST", test.host) {
					t.Errorf("the warning is %+v, want %s", w, want)
				}
			}
			if errs := r.stepErrors(); len(errs) > 0 {
				t.Errorf("steps have failed: %q", errs)
			}
			if retried := r.retried(); len(retried) > 0 {
				t.Errorf("the build is retried: %+v", retried)
			}
		})
	}
}

// TestCacheSilent builds with a registry that accepts requests for the cache and never answers: the
// image is built, a warning says so, and the next build does not wait.
func TestCacheSilent(t *testing.T) {
	images := testenv.Registry(t)
	for _, test := range []struct {
		name    string
		methods []string
		want    string
	}{
		{"read", []string{http.MethodHead, http.MethodGet}, "cannot be read from"},
		{"written", []string{http.MethodPost, http.MethodPut, http.MethodPatch}, "cannot be written to"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked atomic.Int32
			over := make(chan struct{})
			host := guarded(t, func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/v2/" && slices.Contains(test.methods, r.Method) {
					asked.Add(1)
					select {
					case <-over:
					case <-r.Context().Done():
					}
					return false
				}
				return true
			})
			t.Cleanup(func() { close(over) })
			dir := workspace(t, files{"web/Dockerfile": staged, "web/busybox": "", "web/x": t.Name(), "api/Dockerfile": staged, "api/busybox": "", "api/x": t.Name() + "api"})
			b := build.New(build.Options{Dir: dir, Addresses: []string{buildkit(t)}, Cache: host + "/r/cache"})
			b.SetPatience(5 * time.Second)
			t.Cleanup(func() { b.Close() })
			ref := images + "/" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
			digest, r := mustBuild(t, b, spec("web"), ref+":1")
			if head(t, ref+":1") != digest {
				t.Errorf("the image is not in the registry")
			}
			w := r.warnings()
			if len(w) != 1 || !strings.HasPrefix(w[0].Message, "the cache of the build of web "+test.want+" "+host+"/r/cache:") ||
				!strings.Contains(w[0].Message, ": the registry has not answered for 5s; it is built without the cache, as are others for 5m0s") || w[0].Pos != spec("web").Pos {
				t.Errorf("the warnings are %+v", w)
			}
			if retried := r.retried(); len(retried) > 0 {
				t.Errorf("the build is retried: %+v", retried)
			}
			before := asked.Load()
			_, r = mustBuild(t, b, spec("api"), ref+":2")
			if w := r.warnings(); len(w) > 0 || asked.Load() != before {
				t.Errorf("the next build asks %d times, with the warnings %+v", asked.Load()-before, w)
			}
		})
	}
}

// TestCacheOfFailedBuild checks that a failed build and a failed push stay errors.
func TestCacheOfFailedBuild(t *testing.T) {
	dir := workspace(t, files{"web/Dockerfile": shell + "RUN exit 3\n", "web/busybox": "", "ok/Dockerfile": "FROM scratch\nCOPY . /\n"})
	b := build.New(build.Options{Dir: dir, Addresses: []string{buildkit(t)}, Cache: testenv.Registry(t) + "/failed/cache"})
	t.Cleanup(func() { b.Close() })
	_, err := fails(t, b, spec("web"), testenv.Registry(t)+"/failed/web:1")
	var wrong *runtime.BuildError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Build = %v, want a BuildError", err)
	}
	_, err = fails(t, b, spec("ok"), "127.0.0.1:1/ok:1")
	if !strings.HasPrefix(err.Error(), "push the image to 127.0.0.1:1/ok:1: ") {
		t.Errorf("Build = %v, want an error of the push", err)
	}
}
