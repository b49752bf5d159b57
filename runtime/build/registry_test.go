package build_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/pipelinefile/pipe/runtime/build"
)

// TestCredentialHelper pushes to a registry whose password is provided by one of Docker's
// credential helpers.
func TestCredentialHelper(t *testing.T) {
	const password = "p4ssw0rd-of-registry"
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pass, _ := r.BasicAuth(); pass != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	bin, config := t.TempDir(), t.TempDir()
	files{"docker-credential-test*": fmt.Sprintf("#!/bin/sh\necho '{\"Username\":\"me\",\"Secret\":%q}'\n", password)}.write(t, bin)
	files{"config.json": fmt.Sprintf(`{"credHelpers":{%q:"test"}}`, host)}.write(t, config)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	dir := workspace(t, files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"})
	b := build.New(build.Options{Dir: dir, Addresses: []string{buildkit(t)}, DockerConfig: config})
	t.Cleanup(func() { b.Close() })
	_, r := mustBuild(t, b, spec("web"), host+"/web:1")
	if text := r.text() + grep(t, filepath.Join(home, "buildkit"), password); strings.Contains(text, password) {
		t.Errorf("the password was told or kept:\n%s", text)
	}
}
