package modules_test

import (
	"archive/tar"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrivateRegistry checks that the credentials of a registry come from the
// credential helper of Docker's configuration, and appear in no error and no file.
func TestPrivateRegistry(t *testing.T) {
	inside := registry(t)
	push(t, inside+"/team/lib:v1", []tar.Header{file("web.star", lib), file("inner/name.star", `prefix = "private-"`)})
	server := httptest.NewServer(guarded(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: inside})))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	module := "oci://" + host + "/team/lib:v1"
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", module+"//web.star"))

	docker, bin := t.TempDir(), t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	refused := func(who, want string) {
		t.Helper()
		_, err := p.Sync(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "fetch "+module+": ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("Sync %s = %v, want %s", who, err, want)
		}
		if _, err := os.Lstat(p.LockFile()); err == nil {
			t.Errorf("Sync %s wrote a lock file", who)
		}
	}
	helper := func(script string) {
		t.Helper()
		write(t, docker, map[string]string{"config.json": fmt.Sprintf(`{"credHelpers": {%q: "ours"}}`, host)})
		// Write to another name and rename: a file that is open for writing cannot be executed.
		write(t, bin, map[string]string{"new": "#!/bin/sh\n" + script})
		if err := os.Chmod(filepath.Join(bin, "new"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(bin, "new"), filepath.Join(bin, "docker-credential-ours")); err != nil {
			t.Fatal(err)
		}
	}
	refused("without credentials", "the registry requires credentials, and Docker's configuration has none: run: docker login "+host)
	helper("read host; echo '{\"Username\": \"robot\", \"Secret\": \"hunter1\"}'\n")
	refused("with a wrong password", "the registry rejected the credentials of Docker's configuration (status 401): run: docker login "+host)
	helper("echo the vault is shut; exit 1\n")
	refused("with a helper that fails", "the vault is shut")
	helper(fmt.Sprintf("read host; [ \"$host\" = %s ] && echo '{\"Username\": \"robot\", \"Secret\": \"hunter2\"}'\n", host))
	mustSync(t, p)
	if got, err := eval(t, p); err != nil || got != "private-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
	if data, _ := os.ReadFile(p.LockFile()); strings.Contains(string(data), "hunter") {
		t.Errorf("the lock file contains the password: %s", data)
	}
}
