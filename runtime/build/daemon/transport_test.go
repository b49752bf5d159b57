//go:build linux

package daemon

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// clientOf returns the client that BuildKit uses for a registry, which may be silent for patience.
func clientOf(t *testing.T, server *httptest.Server, patience time.Duration) *http.Client {
	t.Helper()
	hosts, err := withTransport(registryHosts(nil, t.TempDir()+"/registries.conf"), &busyHosts{}, patience, patience)(strings.TrimPrefix(server.URL, "http://"))
	if err != nil || len(hosts) == 0 || hosts[len(hosts)-1].Client == nil {
		t.Fatalf("hosts = %+v, %v", hosts, err)
	}
	return hosts[len(hosts)-1].Client
}

// A registry that accepts requests and sends nothing, or stops in the middle of a blob, ends the
// request with an error that BuildKit does not repeat by itself.
func TestSilentRegistry(t *testing.T) {
	t.Parallel()
	for _, request := range []struct{ method, path string }{
		{http.MethodHead, "/v2/web/manifests/1"}, {http.MethodPut, "/v2/web/manifests/1"}, {http.MethodGet, "/v2/web/blobs/half"},
	} {
		t.Run(request.method, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "half") {
					w.Header().Set("Content-Length", "100")
					_, _ = w.Write([]byte("half"))
					_ = http.NewResponseController(w).Flush()
				}
				select {
				case <-r.Context().Done():
				case <-over:
				}
			}))
			t.Cleanup(server.Close)
			t.Cleanup(func() { close(over) })
			client := clientOf(t, server, time.Second)
			r, err := http.NewRequestWithContext(t.Context(), request.method, server.URL+request.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(r)
			if err == nil {
				_, err = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			var temporary interface{ Temporary() bool }
			want := "registry " + strings.TrimPrefix(server.URL, "http://") + " has sent nothing for 1s"
			if err == nil || !strings.HasSuffix(err.Error(), want) || errors.As(err, &temporary) && temporary.Temporary() {
				t.Errorf("%s %s = %v\nwant …%s, once", request.method, request.path, err, want)
			}
		})
	}
}

// A registry that refuses HEAD requests for manifests is asked with GET.
func TestHeadIsRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodHead:
				w.WriteHeader(status)
			case strings.HasSuffix(r.URL.Path, "/1"):
				w.Header().Set("Docker-Content-Digest", "sha256:1")
				_, _ = w.Write([]byte("manifest"))
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		t.Cleanup(server.Close)
		client := clientOf(t, server, time.Minute)
		for path, want := range map[string]int{"/v2/web/manifests/1": http.StatusOK, "/v2/web/manifests/2": http.StatusNotFound, "/v2/web/blobs/1": status} {
			answer, err := client.Head(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != want || err != nil || len(content) > 0 || answer.Request.Method != http.MethodHead {
				t.Errorf("HEAD %s of a registry that answers %d = %d with %q, %v; want %d", path, status, answer.StatusCode, content, err, want)
			}
			if found := answer.Header.Get("Docker-Content-Digest"); (found != "") != (want == http.StatusOK) {
				t.Errorf("HEAD %s: the digest is %q", path, found)
			}
		}
	}
}
