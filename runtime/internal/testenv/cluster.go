package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// upTime is the time limit for starting a cluster whose programs are already built.
const upTime = 2 * time.Minute

// Kubeconfig returns the kubeconfig file of a cluster with a simulated node: a
// real API server whose pods become ready without running. It is the file that
// PIPE_TEST_KUBECONFIG names, if set; otherwise bin/pipe-cluster starts a cluster for
// this process, which ends with the process in any case.
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

// Cluster returns the client configuration for the cluster of [Kubeconfig], without
// client-go's default rate limits.
func Cluster(t testing.TB) *rest.Config {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", Kubeconfig(t))
	if err != nil {
		t.Fatalf("the cluster for tests: %v", err)
	}
	cfg.QPS, cfg.Burst = 1000, 2000
	return cfg
}

// Namespace creates a namespace in the cluster of [Cluster] for this test only.
// It is deleted in the background when the test ends.
func Namespace(t testing.TB) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(Cluster(t))
	if err != nil {
		t.Fatalf("the cluster for tests: %v", err)
	}
	made, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.Background(), made.Name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("delete namespace %s: %v", made.Name, err)
		}
	})
	return made.Name
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
	state, err := folder("pc") // short: it holds unix sockets
	if err != nil {
		return "", err
	}
	if err := afterUs(`"$0" down --dir "$1" >/dev/null 2>&1; rm -rf "$1"`, program, state); err != nil {
		return "", err
	}
	sweep("pc", func(stale string) {
		_ = exec.Command(program, "down", "--dir", stale).Run() // retried at the next start
	})
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
