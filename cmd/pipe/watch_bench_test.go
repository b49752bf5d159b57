package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// The charts of BenchmarkWatch: each has one Deployment, whose annotation is the number of
// the save.
const (
	benchChart      = "apiVersion: v2\nname: c\nversion: 0.1.0\n"
	benchDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, annotations: {save: "{{ .Values.save }}"}}
spec:
  replicas: 1
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: c, image: "example.org/c:1"}]}
`
)

// saves is the number of saves that are measured.
const saves = 20

// BenchmarkWatch measures the time from a save, which replaces a file by a rename, to the
// changed Deployment in the API server: for watch mode with 1, 200 and 1000 services that
// each have a chart, and for a shell loop that compares checksums and calls `pipe run`.
func BenchmarkWatch(b *testing.B) {
	home := serversHome(b, "simulated")
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(home, "cluster", "kubeconfig"))
	if err != nil {
		b.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	const loop = `old=; while :; do
now=$(find . -type f -exec cksum {} + | cksum)
if [ "$now" != "$old" ]; then old=$now; pipe run --progress quiet >/dev/null || exit 1; fi
sleep 0.05; done`
	for _, bench := range []struct {
		name     string
		services int
		command  []string
	}{
		{"loop/services=1", 1, []string{"sh", "-c", loop}},
		{"watch/services=1", 1, []string{"pipe", "run", "--watch", "--progress", "json"}},
		{"loop/services=200", 200, []string{"sh", "-c", loop}},
		{"watch/services=200", 200, []string{"pipe", "run", "--watch", "--progress", "json"}},
		{"watch/services=1000", 1000, []string{"pipe", "run", "--watch", "--progress", "json"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			benchWatch(b, client, home, bench.services, bench.command)
		})
	}
}

func benchWatch(b *testing.B, client kubernetes.Interface, home string, services int, command []string) {
	b.Helper()
	dir := b.TempDir()
	name := strings.NewReplacer("/", "-", "=", "-").Replace(strings.TrimPrefix(b.Name(), "BenchmarkWatch/"))
	file := fmt.Sprintf("pipeline(%q)\nfor i in range(%d):\n    application(\"s%%d\" %% i, chart = chart(\"charts/s%%d\" %% i))\n", name, services)
	put := func(path, text string) {
		b.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			b.Fatal(err)
		}
	}
	values := func(i, save int) {
		put(filepath.Join(dir, "charts", fmt.Sprint("s", i), "values.yaml"), fmt.Sprintf("save: \"%d\"\n", save))
	}
	for i := range services {
		chart := filepath.Join(dir, "charts", fmt.Sprint("s", i))
		put(filepath.Join(chart, "Chart.yaml"), benchChart)
		put(filepath.Join(chart, "templates", "deployment.yaml"), benchDeployment)
		values(i, 0)
	}
	put(filepath.Join(dir, "Pipelinefile"), file)

	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PIPE_HOME="+home, "HOME="+home, "KUBECONFIG="+filepath.Join(home, "cluster", "kubeconfig"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var said safeBuffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer stop()

	namespace := name + "-default"
	seen := make(chan *appsv1.Deployment, 10*services)
	go func() {
		for ctx.Err() == nil {
			w, err := client.AppsV1().Deployments(namespace).Watch(ctx, metav1.ListOptions{})
			if err != nil {
				time.Sleep(time.Second)
				continue
			}
			for e := range w.ResultChan() {
				if d, ok := e.Object.(*appsv1.Deployment); ok {
					seen <- d
				}
			}
		}
	}()
	await := func(service, save int, within time.Duration) time.Time {
		b.Helper()
		late := time.After(within)
		for {
			select {
			case d := <-seen:
				if d.Name == fmt.Sprint("s", service) && d.Annotations["save"] == fmt.Sprint(save) {
					return time.Now()
				}
			case <-late:
				b.Fatalf("save %d of s%d is not deployed after %s\n%s", save, service, within, said.String())
			}
		}
	}
	settle(b, client, namespace, services, &said, command[0] == "pipe")

	var took []time.Duration
	for n := range saves {
		service := n * 7 % services
		values(service, n+1)
		begun := time.Now()
		took = append(took, await(service, n+1, time.Minute).Sub(begun))
		time.Sleep(500 * time.Millisecond) // a person saves again later
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "worst-ms")
	b.ReportMetric(0, "ns/op")
}

// settle waits until all services are deployed and no run is in progress.
func settle(b *testing.B, client kubernetes.Interface, namespace string, services int, said *safeBuffer, watching bool) {
	b.Helper()
	for range 600 {
		list, err := client.AppsV1().Deployments(namespace).List(b.Context(), metav1.ListOptions{})
		ready := 0
		if err == nil {
			for _, d := range list.Items {
				if d.Status.AvailableReplicas == 1 {
					ready++
				}
			}
		}
		if ready == services && (!watching || bytes.Contains([]byte(said.String()), []byte(`"state":"settled"`))) {
			time.Sleep(2 * time.Second)
			return
		}
		time.Sleep(time.Second)
	}
	b.Fatalf("not all of %d services are deployed\n%s", services, said.String())
}
