package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// benchPipelinefile has 500 services in four stages. They use secrets and each other.
const benchPipelinefile = `
pipeline("bench")
images = param("images")
stages = [stage(name) for name in ["base", "middle", "api", "web"]]
password = secret("password")

def services():
    before = None
    for i in range(500):
        before = container(
            "svc-%d" % i,
            stage = stages[i // 125],
            image = images + ("/redis:7" if i % 2 else "/postgres:17"),
            ports = [port(8080)],
            env = {"LOG_LEVEL": "info", "NUMBER": str(i), "PASSWORD": password, "BEFORE": before.host if before else ""},
            resources = resources(cpu = "10m", memory = "16Mi"),
            health = http("/healthz"),
        )

services()
`

// BenchmarkCommands runs whole commands, each in a separate process, on an environment of
// 500 unchanged services. It fails if a command sends more requests to the API server than
// its limit, or never takes less than a second; for a run, without the evaluation.
func BenchmarkCommands(b *testing.B) {
	home, dir := serversHome(b, "simulated"), b.TempDir()
	var mu sync.Mutex
	var asked []string
	direct, counted := filepath.Join(home, "cluster", "kubeconfig"), filepath.Join(dir, "kubeconfig")
	proxy, err := newProxy(home, counted, telling(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.String())
	}))
	if err != nil {
		b.Fatal(err)
	}
	defer proxy.Close()
	upstream, err := newUpstream([]string{"redis:7", "postgres:17"})
	if err != nil {
		b.Fatal(err)
	}
	defer upstream.Close()
	if err := os.WriteFile(filepath.Join(dir, "Pipelinefile"), []byte(benchPipelinefile), 0o600); err != nil {
		b.Fatal(err)
	}
	pipe := func(kubeconfig string, args ...string) time.Duration {
		b.Helper()
		cmd := exec.Command("pipe", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PIPE_HOME="+home, "HOME="+home, "KUBECONFIG="+kubeconfig,
			"PIPE_SET=images="+strings.TrimPrefix(upstream.URL, "http://"), "PIPE_SECRETS=env:BENCH_", "BENCH_PASSWORD=sw0rdfish-and-chips")
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		begun := time.Now()
		if err := cmd.Run(); err != nil {
			b.Fatalf("pipe %s: %v\n%s", strings.Join(args, " "), err, said.String())
		}
		return time.Since(begun)
	}
	run := []string{"run", "--env", "bench"}
	pipe(direct, run...)
	var evaluating time.Duration
	for _, command := range []struct {
		name     string
		args     []string
		requests int
	}{
		{"start", []string{"version"}, 0},
		{"evaluate", []string{"plan", "--env", "bench", "--output", "json"}, 0},
		{"plan", []string{"plan", "--env", "bench"}, 6},
		{"status", []string{"status", "bench"}, 6},
		{"run", run, 19},
	} {
		b.Run(command.name, func(b *testing.B) {
			pipe(counted, command.args...)
			mu.Lock()
			requests := asked
			asked = nil
			mu.Unlock()
			var took []time.Duration
			for b.Loop() {
				took = append(took, pipe(direct, command.args...))
			}
			best := slices.Min(took)
			b.ReportMetric(best.Seconds(), "best-s")
			b.ReportMetric(slices.Max(took).Seconds(), "worst-s")
			b.ReportMetric(float64(len(requests)), "requests")
			switch command.name {
			case "evaluate":
				evaluating = best
			case "run":
				best -= evaluating
				b.ReportMetric(best.Seconds(), "best-beside-evaluating-s")
			}
			if len(requests) > command.requests {
				b.Errorf("%d requests, want at most %d:\n%s", len(requests), command.requests, strings.Join(requests, "\n"))
			}
			if best > time.Second {
				b.Errorf("it takes %s, want at most a second", best)
			}
		})
	}
}

// The services of BenchmarkBuilt: each is built from a directory of its own.
const (
	builtServices   = 100
	filesOfServices = 50_000
)

// BenchmarkBuilt runs `pipe run`, in a process of its own, on an environment of 100 unchanged
// services that are built from 50 000 files. It fails if each run takes more than a second.
func BenchmarkBuilt(b *testing.B) {
	home, dir := serversHome(b, "simulated"), b.TempDir()
	put := func(name, content string) {
		b.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	put("Pipelinefile", fmt.Sprintf(`pipeline("built")
for i in range(%d):
    application("svc-%%d" %% i, source = local("services/%%d" %% i), ports = [port(8080)])
`, builtServices))
	for i := range builtServices {
		put(fmt.Sprintf("services/%d/Dockerfile", i), "FROM scratch\nCOPY src/0 /src\n")
		for j := range filesOfServices/builtServices - 1 {
			put(fmt.Sprintf("services/%d/src/%d/file%03d.go", i, j%20, j), strings.Repeat(fmt.Sprintf("package p // %d %d\n", i, j), 50))
		}
	}
	pipe := func() time.Duration {
		b.Helper()
		cmd := exec.Command("pipe", "run", "--env", "bench")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PIPE_HOME="+home, "HOME="+home, "KUBECONFIG="+filepath.Join(home, "cluster", "kubeconfig"))
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		begun := time.Now()
		if err := cmd.Run(); err != nil {
			b.Fatalf("pipe run: %v\n%s", err, said.String())
		}
		return time.Since(begun)
	}
	b.Logf("the first run: %s", pipe())
	b.Logf("the second run: %s", pipe())
	var took []time.Duration
	for b.Loop() {
		took = append(took, pipe())
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds(), "median-s")
	b.ReportMetric(took[0].Seconds(), "best-s")
	if took[0] > time.Second {
		b.Errorf("the fastest run takes %s, want at most a second", took[0])
	}
}
