package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster is a cluster under test.
type cluster struct {
	dir    string
	config *rest.Config
	api    kubernetes.Interface
}

// up starts a cluster in a directory.
func up(t *testing.T, dir string, args ...string) *cluster {
	t.Helper()
	began := time.Now()
	out := must(t, append([]string{"up", "--dir", dir}, args...)...)
	t.Logf("up: %.1f s", time.Since(began).Seconds())
	if want := dir + "/kubeconfig\n"; out != want {
		t.Errorf("up printed %q, want %q", out, want)
	}
	c, err := clientcmd.BuildConfigFromFlags("", dir+"/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	c.QPS = -1
	api, err := kubernetes.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{dir, c, api}
}

// status returns the output of the command status.
func (c *cluster) status(t *testing.T) status {
	t.Helper()
	out, _, code := pipeCluster(t, "status", "-o", "json", "--dir", c.dir)
	var s status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("status: %v in %s", err, out)
	}
	if (code == 0) != (s.State == "running") {
		t.Errorf("exit status %d with state %s", code, s.State)
	}
	return s
}

// pid returns the PID of one of the cluster's processes.
func (c *cluster) pid(t *testing.T, name string) int {
	t.Helper()
	for _, p := range c.status(t).Processes {
		if p.Name == name && p.PID != 0 {
			return p.PID
		}
	}
	t.Fatalf("no process %s", name)
	return 0
}

// keep creates an object that must still exist after a repair, and kept checks it.
func (c *cluster) keep(t *testing.T) {
	t.Helper()
	_, err := c.api.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "kept"}, Data: map[string]string{"a": "b"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) kept(t *testing.T) {
	t.Helper()
	m, err := c.api.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil || m.Data["a"] != "b" {
		logs(t, []string{"--dir", c.dir})
		t.Fatalf("the data is gone: %v, %v", m, err)
	}
}

// eventually retries until there is no error. The limit is for machines that are busy with other tests.
func eventually(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	const limit = 2 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var last error
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if err := f(ctx); err == nil {
			return
		} else if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
	}
	t.Fatalf("%s: not within %s: %v", what, limit, last)
}
