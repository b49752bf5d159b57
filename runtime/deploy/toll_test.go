//go:build unix

package deploy_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A point identifies one request to a registry by its kind, and by how many of this kind
// there were before.
type point struct {
	What string // such as "PUT api/manifests"
	N    int    // from 1
}

// rank is 0 for writes that publish an image, 1 for other writes, 2 for reads.
func (p point) rank() int {
	switch {
	case strings.HasPrefix(p.What, "GET "), strings.HasPrefix(p.What, "HEAD "):
		return 2
	case strings.HasSuffix(p.What, "/manifests"):
		return 0
	}
	return 1
}

// A toll is a proxy of a registry, at which a process can be killed.
type toll struct {
	next http.Handler

	mu     sync.Mutex
	passed []point // guarded by mu, as are the next three
	at     point
	after  bool   // after the registry has carried it out
	kill   func() // returns when the process is dead; nil: no process is killed
}

// newToll returns a toll for a registry, and its address.
func newToll(registry string) (*toll, *httptest.Server) {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // errors of requests whose process is dead
	t := &toll{next: proxy}
	return t, httptest.NewServer(t)
}

// ServeHTTP implements [http.Handler].
func (t *toll) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kill, after := t.pass(whatOf(r))
	switch {
	case kill == nil:
		t.next.ServeHTTP(w, r)
		return
	case after:
		t.next.ServeHTTP(httptest.NewRecorder(), r)
	}
	kill()
	panic(http.ErrAbortHandler)
}

// pass records a request, and returns the function that kills the process at it.
func (t *toll) pass(what string) (kill func(), after bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := point{what, 1}
	for slices.Contains(t.passed, p) {
		p.N++
	}
	t.passed = append(t.passed, p)
	if p != t.at {
		return nil, false
	}
	return t.kill, t.after
}

// whatOf returns the kind of a request: its method, the base name of the repository, and the
// part of it.
func whatOf(r *http.Request) string {
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	repository, _, _ := strings.Cut(path, "/")
	for _, part := range []string{"blobs/uploads", "blobs", "manifests"} {
		if strings.Contains(r.URL.Path, "/"+part+"/") {
			return r.Method + " " + repository + "/" + part
		}
	}
	return r.Method + " " + r.URL.Path
}

// arm sets the point at which the process is killed; a kill of nil disarms it. It returns
// the requests since the last call.
func (t *toll) arm(at point, after bool, kill func()) (passed []point) {
	t.mu.Lock()
	defer t.mu.Unlock()
	passed, t.passed = t.passed, nil
	t.at, t.after, t.kill = at, after, kill
	return passed
}
