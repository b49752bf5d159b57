package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// upTime bounds the start of a cluster whose programs are built.
const upTime = 2 * time.Minute

// Kubeconfig returns the kubeconfig file of a cluster with a simulated node: a
// real API server whose pods get ready without running. It is the one that
// PIPE_TEST_KUBECONFIG names, if any; otherwise it is started for this process
// by bin/pipe-cluster and goes with the process, however that ends.
func Kubeconfig(t testing.TB) string {
	t.Helper()
	if file := os.Getenv("PIPE_TEST_KUBECONFIG"); file != "" {
		return file
	}
	file, err := cluster()
	if err != nil {
		missing(t, "cluster", err)
	}
	return file
}

// Cluster returns how to reach the cluster of [Kubeconfig], without the limits
// on requests that client-go has by default.
func Cluster(t testing.TB) *rest.Config {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", Kubeconfig(t))
	if err != nil {
		t.Fatalf("the cluster for tests: %v", err)
	}
	cfg.QPS, cfg.Burst = 1000, 2000
	return cfg
}

// cluster starts the cluster of this process, once.
var cluster = sync.OnceValues(func() (kubeconfig string, err error) {
	dir, err := root()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "bin", "pipe-cluster")
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("%w; build it with: make cluster", err)
	}
	state, err := os.MkdirTemp("", "pc") // short: it holds unix sockets
	if err != nil {
		return "", err
	}
	if err := downAfterUs(program, state); err != nil {
		return "", err
	}
	ctx, stop := context.WithTimeout(context.Background(), upTime)
	defer stop()
	up := exec.CommandContext(ctx, program, "up", "--dir", state, "--node", "simulated")
	out, err := up.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("pipe-cluster up: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// downAfterUs has the cluster in state taken down when this process ends, even
// if it is killed: a shell waits for the end of its standard input, which the
// kernel closes with us.
func downAfterUs(program, state string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	keep(w)
	watch := exec.Command("sh", "-c", `cat >/dev/null; "$0" down --dir "$1" >/dev/null 2>&1; rm -rf "$1"`, program, state)
	watch.Stdin = r
	watch.SysProcAttr = ownSession()
	return watch.Start()
}

// keep holds w open for as long as the process lives.
func keep(w io.Closer) { held = append(held, w) }

var held []io.Closer
