package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// TestCluster deploys to a Kubernetes whose pods get ready without running.
func TestCluster(t *testing.T) {
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer images.Close()
	host := strings.TrimPrefix(images.URL, "http://")
	redis, err := name.ParseReference(host + "/redis:7")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1<<10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(redis, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	dir := team(t, fmt.Sprintf(`pipeline("payments")
container("cache", image = %q, labels = owner("payments"))
`, redis))
	opts := local.Options{Home: t.TempDir(), Kubeconfig: cluster(t), Registry: host + "/payments"}
	h, err := newHouse(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.handler())
	defer server.Close()
	for _, want := range []runtime.State{runtime.Done, runtime.Unchanged} {
		status, lines := ask(t, http.MethodPost, server.URL+"/payments/staging")
		all := events(t, lines)
		if status != http.StatusOK || len(all) == 0 {
			t.Fatalf("status %d, %q", status, lines)
		}
		last := all[len(all)-1]
		if last.Record == nil || len(last.Record.Services) != 1 || last.Record.Services[0].State != want {
			t.Fatalf("want cache %s, got %s", want, strings.Join(lines, "\n"))
		}
	}
	smallest(t, opts, redis.String())
}

// smallest runs the smallest program there can be, on the same cluster.
func smallest(t *testing.T, opts local.Options, image string) {
	t.Helper()
	opts.Dir = t.TempDir()
	file := filepath.Join(opts.Dir, "Pipelinefile")
	if err := os.WriteFile(file, fmt.Appendf(nil, "pipeline(\"small\")\ncontainer(\"cache\", image = %q)\n", image), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := deployFile(t.Context(), file, opts, &out)
	if err != nil || !strings.HasSuffix(out.String(), "run.ended\n") {
		t.Fatalf("deployFile = %v, with the events\n%s", err, out.String())
	}
	rt, err := local.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	env, err := rt.Store.Environment(t.Context(), runtime.EnvironmentKey{Pipeline: "small", Name: "default"})
	if err != nil || !strings.Contains(env.Images["cache"], "@sha256:") {
		t.Errorf("Environment = %+v, %v, want one with the image of cache by digest", env, err)
	}
}

// cluster starts a simulated cluster, which ends with the test, and also if the
// test is killed. It returns the file of its kubeconfig.
func cluster(t *testing.T) string {
	t.Helper()
	missing := func(why error) {
		t.Helper()
		if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "cluster") {
			t.Fatalf("PIPE_TEST_REQUIRE names cluster, but: %v", why)
		}
		t.Skipf("no cluster for tests: %v", why)
	}
	program, err := filepath.Abs("../../bin/pipe-cluster")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		missing(fmt.Errorf("%w; build it with: make cluster", err))
	}
	dir, err := os.MkdirTemp("", "embed") //nolint:usetesting // short: it holds unix sockets; and it is removed after the cluster has ended
	if err != nil {
		t.Fatal(err)
	}
	stop := exec.Command("sh", "-c", `trap '' INT; cat >/dev/null; "$0" down --dir "$1"; rm -rf "$1"`, program, dir)
	alive, err := stop.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	stop.Stdout, stop.Stderr = &said, &said
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		alive.Close()
		if err := stop.Wait(); err != nil {
			t.Errorf("stopping the cluster: %v\n%s", err, said.String())
		}
	})
	if out, err := exec.Command(program, "up", "--dir", dir, "--node", "simulated").CombinedOutput(); err != nil {
		missing(fmt.Errorf("%w\n%s", err, out))
	}
	return filepath.Join(dir, "kubeconfig")
}
