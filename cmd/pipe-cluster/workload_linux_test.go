package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
)

// workload is a Deployment of testdata/web with a Service and a volume.
type workload struct {
	*cluster
	ip string // of the Service
}

var webLabels = map[string]string{"app": "web"}

func (c *cluster) deploy(t *testing.T, port string) *workload {
	t.Helper()
	ctx := t.Context()
	_, err1 := c.api.CoreV1().PersistentVolumeClaims("default").Create(ctx, claim("data"), metav1.CreateOptions{})
	svc, err2 := c.api.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: webLabels, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	container := func(name, host string, env ...corev1.EnvVar) corev1.Container {
		return corev1.Container{
			Name: name, Image: host + ":" + port + "/web:1", Env: env,
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
		}
	}
	web := container("web", "127.0.0.1")
	web.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80)}}}
	first := container("first", "localhost")
	first.Args = []string{"hello from before"}
	_, err3 := c.api.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: webLabels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: webLabels},
				Spec: corev1.PodSpec{
					InitContainers: []corev1.Container{first},
					Containers:     []corev1.Container{web},
					Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
					}}},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	w := &workload{c, svc.Spec.ClusterIP}
	began := time.Now()
	w.ready(t)
	t.Logf("two pods ready after %.1f s", time.Since(began).Seconds())
	return w
}

// ready waits until all pods are ready.
func (w *workload) ready(t *testing.T) {
	t.Helper()
	eventually(t, "the pods are ready", func(ctx context.Context) error {
		d, err := w.api.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		if err == nil && (d.Status.ReadyReplicas != 2 || d.Status.Replicas != 2) {
			err = fmt.Errorf("%+v; %s", d.Status, w.events(ctx))
		}
		return err
	})
}

func (w *workload) events(ctx context.Context) string {
	all, err := w.api.CoreV1().Events("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range all.Items {
		if e.Type == corev1.EventTypeWarning {
			fmt.Fprintf(&b, "%s %s: %s\n", e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	return b.String()
}

// pods returns the pods, sorted by name.
func (w *workload) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	all, err := w.api.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(all.Items) == 0 {
		t.Fatalf("%d pods, %v", len(all.Items), err)
	}
	slices.SortFunc(all.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return all.Items
}

// ask sends a request to the address of the Service.
func (w *workload) ask(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.ip+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return string(b), err
}

func (w *workload) wants(t *testing.T, path, want string) {
	t.Helper()
	eventually(t, path, func(ctx context.Context) error {
		got, err := w.ask(ctx, path)
		if err == nil && got != want {
			err = fmt.Errorf("got %q, want %q", got, want)
		}
		return err
	})
}

// answers checks that the Service answers the machine and pods.
func (w *workload) answers(t *testing.T) {
	t.Helper()
	for range 4 { // both pods
		w.wants(t, "/", "hello")
	}
	w.wants(t, "/get?url="+url.QueryEscape("http://"+w.ip+"/"), "hello")
	w.wants(t, "/get?url="+url.QueryEscape("http://web/"), "hello")
}

// resolves checks that a pod resolves every form of the names of services, and the names that the
// machine resolves.
func (w *workload) resolves(t *testing.T) {
	t.Helper()
	for _, name := range []string{"web", "web.default", "web.default.svc.cluster.local", "web.default.svc.cluster.local."} {
		w.wants(t, "/lookup?name="+name, w.ip)
	}
	w.wants(t, "/lookup?name=kubernetes.default", "10.96.0.1")
	if got, err := w.ask(t.Context(), "/lookup?name=nobody.default.svc.cluster.local"); err == nil {
		t.Errorf("a service that is not there is at %s", got)
	}
	// A name that the machine resolves: it downloads its modules from there.
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), ",")
	from, err := url.Parse(first)
	if err != nil || from.Hostname() == "" {
		t.Logf("modules come from no host: %s", out)
		return
	}
	hosts, err := net.DefaultResolver.LookupHost(t.Context(), from.Hostname())
	if err != nil {
		t.Logf("the machine resolves nothing of the world: %v", err)
		return
	}
	if got, err := w.ask(t.Context(), "/lookup?name="+from.Hostname()); err != nil || got == "" {
		t.Errorf("a pod resolves %s to %q, %v; the machine to %v", from.Hostname(), got, err, hosts)
	}
}

func (w *workload) logs(t *testing.T) {
	t.Helper()
	for container, want := range map[string]string{"web": "listening\n", "first": "hello from before\n"} {
		b, err := w.api.CoreV1().Pods("default").GetLogs(w.pods(t)[0].Name, &corev1.PodLogOptions{Container: container}).DoRaw(t.Context())
		if err != nil || string(b) != want {
			t.Errorf("log of %s: %q, %v, want %q", container, b, err, want)
		}
	}
}

func (w *workload) exec(t *testing.T) {
	t.Helper()
	req := w.api.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name(w.pods(t)[0].Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: "web", Command: []string{"/web", "hello", "again"}, Stdout: true}, scheme.ParameterCodec)
	e, err := remotecommand.NewSPDYExecutor(w.config, http.MethodPost, req.URL())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &out}); err != nil || out.String() != "hello again\n" {
		t.Errorf("exec printed %q, %v", out.String(), err)
	}
}

func (w *workload) forwards(t *testing.T) {
	t.Helper()
	req := w.api.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name(w.pods(t)[0].Name).SubResource("portforward")
	transport, upgrader, err := spdy.RoundTripperFor(w.config)
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.NewOnAddresses(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, req.URL()),
		[]string{"127.0.0.1"}, []string{"0:80"}, stop, ready, io.Discard, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.ForwardPorts() }()
	select {
	case err := <-ended:
		t.Fatalf("port-forward: %v", err)
	case <-ready:
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	local := &workload{w.cluster, "127.0.0.1:" + strconv.Itoa(int(ports[0].Local))}
	local.wants(t, "/", "hello")
	close(stop)
	<-ended
}

// starts returns how often pods with the volume have started.
func (w *workload) starts(t *testing.T) int {
	t.Helper()
	text, err := w.ask(t.Context(), "/starts")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cameBack waits until the workload has started again on its volume, which records earlier starts.
func (w *workload) cameBack(t *testing.T, starts int) {
	t.Helper()
	w.ready(t)
	w.answers(t)
	if now := w.starts(t); now <= starts {
		t.Errorf("%d starts after %d: the volume or the pods did not come back", now, starts)
	}
}
