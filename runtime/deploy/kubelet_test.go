package deploy_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
)

// A kubelet is a node that runs nothing: a test determines what its pods do, and the kubelet
// writes their status like a real one. It also serves their logs.
type kubelet struct {
	node   string
	client kubernetes.Interface

	mu   sync.Mutex
	does func(*corev1.Pod) corev1.PodStatus
	logs map[string]string // by container, or pod and container, and whether they are previous
	port int32             // from which the API server fetches them
	more chan struct{}     // closed when there are more lines
	cuts chan struct{}     // closed when followed logs must end
}

// newKubelet registers the node. does determines what its pods do; it is called whenever one
// of them changes, and every 100 ms.
func newKubelet(t *testing.T, config *rest.Config, does func(*corev1.Pod) corev1.PodStatus) *kubelet {
	t.Helper()
	k := &kubelet{
		node: fmt.Sprintf("kubelet-%d", time.Now().UnixNano()), client: client(t, config),
		does: does, logs: make(map[string]string), more: make(chan struct{}), cuts: make(chan struct{}),
	}
	server := httptest.NewTLSServer(http.HandlerFunc(k.serveLogs))
	host, portText, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(portText, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	k.port = int32(port)
	room := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100"), corev1.ResourceMemory: resource.MustParse("1Ti"), corev1.ResourcePods: resource.MustParse("1k")}
	node, err := k.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: k.node, Labels: map[string]string{"test": k.node}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "test", Value: k.node, Effect: corev1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status = corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		server.CloseClientConnections() // followed logs
		server.Close()
		_ = k.client.CoreV1().Nodes().Delete(context.Background(), k.node, metav1.DeleteOptions{})
	})
	k.beat(ctx, node)
	wg.Go(func() { k.run(ctx, node) })
	return k
}

// beat reports that the node is ready.
func (k *kubelet) beat(ctx context.Context, node *corev1.Node) {
	k.mu.Lock()
	defer k.mu.Unlock()
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = k.port
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: now, LastTransitionTime: now, Reason: "Test"}}
	node.ResourceVersion = ""
	if updated, err := k.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err == nil {
		updated.DeepCopyInto(node)
	}
}

func (k *kubelet) run(ctx context.Context, node *corev1.Node) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n%50 == 0 {
			k.beat(ctx, node)
		}
		pods, err := k.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + k.node})
		if err != nil {
			continue
		}
		for i := range pods.Items {
			k.step(ctx, &pods.Items[i])
		}
	}
}

func (k *kubelet) step(ctx context.Context, pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		now := int64(0)
		_ = k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		return
	}
	k.mu.Lock()
	status := k.does(pod)
	k.mu.Unlock()
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			status.Conditions = append(status.Conditions, c)
		}
	}
	if fmt.Sprint(status.Phase, status.ContainerStatuses) == fmt.Sprint(pod.Status.Phase, pod.Status.ContainerStatuses) {
		return
	}
	pod.Status = status
	_, _ = k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
}

// now changes what pods do.
func (k *kubelet) now(does func(*corev1.Pod) corev1.PodStatus) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.does = does
}

// log sets the output of a container.
func (k *kubelet) log(container string, previous bool, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.logs[fmt.Sprint(container, previous)] = text
}

// listen sets another port for its logs, and returns the previous one.
func (k *kubelet) listen(t *testing.T, port int32) (former int32) {
	t.Helper()
	k.mu.Lock()
	former, k.port = k.port, port
	k.mu.Unlock()
	node, err := k.client.CoreV1().Nodes().Get(t.Context(), k.node, metav1.GetOptions{})
	must(t, err)
	k.beat(t.Context(), node)
	return former
}

// readingLogs returns a config with which the API server does not require a certificate from
// its own authority when it fetches logs: only real kubelets have one.
func readingLogs(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/log") {
				r = r.Clone(r.Context())
				query := r.URL.Query()
				query.Set("insecureSkipTLSVerifyBackend", "true")
				r.URL.RawQuery = query.Encode()
			}
			return next.RoundTrip(r)
		})
	})
	return config
}

// print adds a line with the current time to the log of the container of a pod, or of all
// containers with that name.
func (k *kubelet) print(container, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.logs[container+"false"] += time.Now().UTC().Format(time.RFC3339Nano) + " " + text + "\n"
	close(k.more)
	k.more = make(chan struct{})
}

// cut closes the connections of all followed logs.
func (k *kubelet) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.cuts)
	k.cuts = make(chan struct{})
}

func (k *kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // containerLogs/namespace/pod/container
	if len(parts) != 4 || parts[0] != "containerLogs" {
		http.NotFound(w, r)
		return
	}
	query := r.URL.Query()
	since, _ := time.Parse(time.RFC3339, query.Get("sinceTime"))
	if n, err := strconv.Atoi(query.Get("sinceSeconds")); err == nil {
		since = time.Now().Add(-time.Duration(n) * time.Second)
	}
	given := 0
	for {
		k.mu.Lock()
		previous := query.Get("previous") == "true"
		text, ok := k.logs[fmt.Sprint(parts[2], "/", parts[3], previous)]
		if !ok {
			text = k.logs[fmt.Sprint(parts[3], previous)]
		}
		more, cuts := k.more, k.cuts
		k.mu.Unlock()
		var lines []string
		for line := range strings.Lines(text[given:]) {
			stamp, _, _ := strings.Cut(line, " ")
			if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || !at.Before(since) {
				lines = append(lines, line)
			}
		}
		if n, err := strconv.Atoi(query.Get("tailLines")); given == 0 && err == nil && len(lines) > n {
			lines = lines[len(lines)-n:]
		}
		given = len(text)
		fmt.Fprint(w, strings.Join(lines, ""))
		if query.Get("follow") != "true" {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-more:
		case <-cuts:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// on puts the pods of a service with a generated chart on the node.
func (k *kubelet) on(s plan.Service) plan.Service {
	values := map[string]any{
		"nodeSelector": map[string]any{"test": k.node},
		"tolerations":  []any{map[string]any{"key": "test", "operator": "Exists"}},
	}
	for key, v := range s.Values {
		values[key] = v
	}
	s.Values = values
	return s
}

// What pods can do.

func status(phase corev1.PodPhase, ready bool, c corev1.ContainerStatus, pod *corev1.Pod) corev1.PodStatus {
	c.Name, c.Image = pod.Spec.Containers[0].Name, pod.Spec.Containers[0].Image
	c.Ready = ready
	is := corev1.ConditionFalse
	if ready {
		is = corev1.ConditionTrue
	}
	return corev1.PodStatus{
		Phase: phase, ContainerStatuses: []corev1.ContainerStatus{c},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: is}, {Type: corev1.ContainersReady, Status: is}, {Type: corev1.PodInitialized, Status: corev1.ConditionTrue}},
	}
}

func runs(pod *corev1.Pod) corev1.PodStatus {
	return status(corev1.PodRunning, true, corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, pod)
}

func starts(pod *corev1.Pod) corev1.PodStatus {
	return status(corev1.PodRunning, false, corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, pod)
}

func succeeds(pod *corev1.Pod) corev1.PodStatus {
	return status(corev1.PodSucceeded, false, corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}}, pod)
}

func exits(code int32) func(*corev1.Pod) corev1.PodStatus {
	return func(pod *corev1.Pod) corev1.PodStatus {
		return status(corev1.PodFailed, false, corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: code}}}, pod)
	}
}

func waits(reason, message string) func(*corev1.Pod) corev1.PodStatus {
	return func(pod *corev1.Pod) corev1.PodStatus {
		return status(corev1.PodPending, false, corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}, pod)
	}
}

func crashes(pod *corev1.Pod) corev1.PodStatus {
	return status(corev1.PodRunning, false, corev1.ContainerStatus{
		RestartCount:         3,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s restarting failed container"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 7}},
	}, pod)
}

// variant returns the value of VARIANT in the environment of a pod.
func variant(pod *corev1.Pod) string {
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == "VARIANT" {
			return e.Value
		}
	}
	return ""
}

// by makes pods do what their variant determines.
func by(variants map[string]func(*corev1.Pod) corev1.PodStatus) func(*corev1.Pod) corev1.PodStatus {
	return func(pod *corev1.Pod) corev1.PodStatus {
		if do := variants[variant(pod)]; do != nil {
			return do(pod)
		}
		return runs(pod)
	}
}
