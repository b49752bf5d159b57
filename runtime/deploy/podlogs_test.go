package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// podServer answers like an API server whose pods have logs, because no pods run on the
// simulated node of other tests.
func podServer(t *testing.T, logs map[string]string) (config *rest.Config, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var queries []string
	pods := &corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	for _, name := range []string{"api-1", "api-2", "web-1"} {
		service, _, _ := strings.Cut(name, "-")
		pods.Items = append(pods.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop-staging", Labels: map[string]string{"app.kubernetes.io/instance": service}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}}},
		})
	}
	pods.Items = append(pods.Items, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "of-nobody", Namespace: "shop-staging"}})
	secrets := &corev1.SecretList{TypeMeta: metav1.TypeMeta{Kind: "SecretList", APIVersion: "v1"}, Items: []corev1.Secret{{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, Data: map[string][]byte{"password": []byte("sw0rdfish"), "user": []byte("default")},
	}}}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/shop-staging/")
		pod, isLog := strings.CutSuffix(strings.TrimPrefix(path, "pods/"), "/log")
		switch {
		case isLog && logs[pod] != "":
			mu.Lock()
			queries = append(queries, r.URL.RawQuery)
			mu.Unlock()
			fmt.Fprint(w, logs[pod])
		case path == "pods":
			answer(w, pods)
		case path == "secrets":
			answer(w, secrets)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return queries
	}
}

// TestLogs: the lines of all services are in order of time, each with its origin and without
// the values of secrets; logs that cannot be read are reported.
func TestLogs(t *testing.T) {
	t.Parallel()
	config, asked := podServer(t, map[string]string{
		"api-1": "2026-01-02T03:04:05.1Z first\n2026-01-02T03:04:07Z third, by default, with sw0rdfish and c3cwcmRmaXNo\n",
		"web-1": "2026-01-02T03:04:06Z second\r\n2026-01-02T03:04:08Z an end without a line's end",
	})
	shown := newInspector(t, config)
	var got, troubles []string
	opts := inspect.LogOptions{Tail: 7, Trouble: func(text string) { troubles = append(troubles, text) }}
	err := shown.Logs(t.Context(), &runtime.Environment{Key: keyOf("shop-staging")}, opts, func(l inspect.LogLine) {
		got = append(got, fmt.Sprintf("%s %s/%s: %s", l.Service, l.Pod, l.Container, l.Text))
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"api api-1/main: first", "web web-1/main: second", "api api-1/main: third, by default, with REDACTED and REDACTED",
		"web web-1/main: an end without a line's end",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if len(troubles) != 1 || !strings.HasPrefix(troubles[0], "log of container main of pod api-2: ") {
		t.Errorf("troubles: %q", troubles)
	}
	for _, q := range asked() {
		contains(t, q, "tailLines=7", "timestamps=true")
	}

	got = nil
	opts.Services = []string{"web"}
	if err := shown.Logs(t.Context(), &runtime.Environment{Key: keyOf("shop-staging")}, opts, func(l inspect.LogLine) { got = append(got, l.Service) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web", "web"}, got); diff != "" {
		t.Errorf("of one service (-want +got):\n%s", diff)
	}
}

// TestLogsOfNodeThatIsAway: a node that does not answer does not block the logs of other
// nodes, and is reported with its pods; followed logs resume once it answers again.
func TestLogsOfNodeThatIsAway(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	away, there := newKubelet(t, config, runs), newKubelet(t, config, runs)
	away.log("api", false, "2026-01-02T03:04:06Z from afar\n")
	there.log("web", false, "2026-01-02T03:04:05Z at hand\n")
	const nobody = 1 // a port on which nothing listens
	port := away.listen(t, nobody)
	d, shown := newDeployer(t, deploy.Options{Config: config}), newInspector(t, readingLogs(config))
	ns := namespace(t, config)
	api := container("api")
	api.Workload.Replicas = 5
	for _, s := range []plan.Service{away.on(api), there.on(container("web"))} {
		must(t, d.Prepare(t.Context(), keyOf(ns), &plan.Plan{Services: []plan.Service{s}}))
		must(t, d.Act(t.Context(), runtime.Deploy, releaseIn(ns, s), discard))
	}
	var got []string
	err := shown.Logs(t.Context(), &runtime.Environment{Key: keyOf(ns)}, inspect.LogOptions{}, func(l inspect.LogLine) { got = append(got, l.Service+": "+l.Text) })
	if diff := cmp.Diff([]string{"web: at hand"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	var unread *inspect.UnreadError
	if !errors.As(err, &unread) || !slices.Equal(unread.Nodes, []string{away.node}) {
		t.Fatalf("Logs = %v, want an error about node %s", err, away.node)
	}
	contains(t, err.Error(), "5 of 6 logs could not be read: of pods api-", " and 2 more on node "+away.node+": dial tcp ",
		"connection refused; all others are shown")

	ctx, stop := context.WithTimeout(t.Context(), waitTime)
	defer stop()
	var followed, troubles []string
	told, ended := make(chan struct{}, 5), make(chan struct{})
	opts := inspect.LogOptions{Follow: true, Trouble: func(text string) {
		troubles = append(troubles, text)
		told <- struct{}{}
	}}
	go func() {
		defer close(ended)
		err = shown.Logs(ctx, &runtime.Environment{Key: keyOf(ns)}, opts, func(l inspect.LogLine) {
			if followed = append(followed, l.Service); len(followed) == 6 {
				stop()
			}
		})
	}()
	select {
	case <-told:
		away.listen(t, port)
	case <-ended:
	}
	<-ended
	if !errors.Is(err, context.Canceled) {
		t.Errorf("following ends with %v", err)
	}
	slices.Sort(followed)
	if diff := cmp.Diff([]string{"api", "api", "api", "api", "api", "web"}, followed); diff != "" {
		t.Errorf("lines that are followed (-want +got):\n%s", diff)
	}
	if len(troubles) != 1 || !strings.Contains(troubles[0], "a log cannot be followed until its node answers: that of pod api-") {
		t.Errorf("troubles: %q", troubles)
	}
}

// TestTail: a service is followed from the given time, including pods that replace others
// and containers that are restarted; a lost connection is resumed without duplicate lines;
// the value of a Secret that is created meanwhile is hidden; the logs of a forgotten
// service end.
func TestTail(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	node := newKubelet(t, config, runs)
	d, shown := newDeployer(t, deploy.Options{Config: config}), newInspector(t, readingLogs(config))
	ns := namespace(t, config)
	api := node.on(container("api"))
	release := func(s plan.Service) {
		t.Helper()
		must(t, d.Prepare(t.Context(), keyOf(ns), &plan.Plan{Services: []plan.Service{s}}))
		must(t, d.Act(t.Context(), runtime.Deploy, releaseIn(ns, s), discard))
	}
	release(api)
	release(node.on(container("web")))
	node.log("api", false, "2026-01-02T03:04:05Z of long ago\n")

	lines := make(chan inspect.LogLine, 100)
	tail := shown.Tail(ns, func(l inspect.LogLine) { lines <- l }, func(text string) { t.Errorf("trouble: %s", text) })
	defer tail.Close()
	next := func(want string) inspect.LogLine {
		t.Helper()
		select {
		case l := <-lines:
			if got := l.Service + ": " + l.Text; got != want {
				t.Fatalf("line %q, want %q", got, want)
			}
			return l
		case <-time.After(waitTime):
			t.Fatalf("no line %q comes", want)
		}
		return inspect.LogLine{}
	}
	tail.Follow(runtime.Place{Namespace: ns, Name: "api"})
	node.print("api", "first")
	was := next("api: first")
	node.print("web", "nobody asked for it")

	node.cut()
	node.print("api", "second")
	next("api: second")

	_, err := client(t, config).CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "late"}, StringData: map[string]string{"token": "sw0rdfish"},
	}, metav1.CreateOptions{})
	must(t, err)
	node.now(func(p *corev1.Pod) corev1.PodStatus {
		s := runs(p)
		s.ContainerStatuses[0].RestartCount = 1
		return s
	})
	node.cut()
	node.print("api", "again with sw0rdfish")
	if is := next("api: again with REDACTED"); is.Pod != was.Pod {
		t.Errorf("the container that was started again is of pod %s, and was of %s", is.Pod, was.Pod)
	}

	api.Values["podAnnotations"] = map[string]any{"again": "true"}
	release(api)
	for _, line := range []string{"of long ago", "first", "second", "again with REDACTED"} { // the kubelet has one log for all pods
		if is := next("api: " + line); is.Pod == was.Pod {
			t.Errorf("line %q of the former pod comes again", line)
		}
	}

	tail.Forget(runtime.Place{Namespace: ns, Name: "api"})
	tail.Follow(runtime.Place{Namespace: ns, Name: "web"})
	node.print("web", "asked for")
	next("web: asked for")
	node.print("api", "forgotten")
	node.print("web", "the last")
	next("web: the last")
}
