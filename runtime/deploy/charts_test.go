package deploy_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// writeChart writes a chart with the given templates below dir and returns a service that
// uses it.
func writeChart(t testing.TB, dir, name string, files map[string]string) plan.Service {
	t.Helper()
	all := map[string]string{"Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n"}
	for path, text := range files {
		all[path] = text
	}
	for path, text := range all {
		path = filepath.Join(dir, name, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return plan.Service{Name: name, Type: plan.Container, Timeout: plan.Duration(time.Minute), Chart: &plan.Chart{Ref: name}}
}

// workload is a template of a Deployment or another kind that runs a pod.
func workload(apiVersion, kind, spec, pod string) string {
	return `
apiVersion: ` + apiVersion + `
kind: ` + kind + `
metadata:
  name: {{ .Release.Name }}
spec:
  ` + spec + `
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
    spec:
      ` + pod + `
      containers: [{name: main, image: "nginx:{{ .Values.tag | default 1 }}"}]
`
}

const selector = "selector: {matchLabels: {app: {{ .Release.Name }}}}"

func (b *bench) jobs(name string) []string {
	b.t.Helper()
	list, err := client(b.t, testenv.Cluster(b.t)).BatchV1().Jobs(b.namespace).List(b.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + name})
	if err != nil {
		b.t.Fatal(err)
	}
	var ids []string
	for _, j := range list.Items {
		ids = append(ids, j.Name+" "+string(j.UID))
	}
	return ids
}

// TestJob checks when a job runs: once, and again when it changes, when it failed, and when
// that is requested.
func TestJob(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	k := newKubelet(t, config, by(map[string]func(*corev1.Pod) corev1.PodStatus{"one": succeeds, "two": exits(3)}))
	k.log("migrate", false, "no such table\n")
	s := plan.Service{
		Name: "migrate", Type: plan.Job, Timeout: plan.Duration(time.Minute),
		Workload: plan.Workload{Replicas: 1, Job: &plan.JobSpec{On: "deploy"}},
	}
	one, two := k.on(with(s, "one")), k.on(with(s, "two"))
	b.deploy(one)
	first := b.jobs("migrate")
	if len(first) != 1 {
		t.Fatalf("jobs: %v", first)
	}
	one.Workload.Labels = map[string]string{"changed": "yes"} // labels of the pods
	b.deploy(one)
	if again := b.jobs("migrate"); len(again) != 1 || again[0] == first[0] {
		t.Errorf("a job that has changed did not run again: %v", again)
	}

	failed := b.fails(two, runtime.Rollback)
	contains(t, failed.Error(), "job migrate-", "it failed: Job has reached the specified backoff limit", "exited with status 3")
	if failed.RolledBack != 0 {
		t.Errorf("gone back to revision %d: that would have run the old job", failed.RolledBack)
	}
	if d := b.deployed("migrate"); d.Status != "failed" || d.Ready {
		t.Errorf("after it failed %+v is deployed", d)
	}
	failing := b.jobs("migrate")
	k.now(succeeds)
	r := b.deploy(two)
	succeeded := b.jobs("migrate")
	if len(succeeded) != 1 || succeeded[0] == failing[0] {
		t.Errorf("a job that failed did not run again: %v, then %v", failing, succeeded)
	}

	// Deployed without changes, which the caller must request.
	if err := b.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
		t.Fatal(explained(err))
	}
	if forced := b.jobs("migrate"); len(forced) != 1 || forced[0] == succeeded[0] {
		t.Errorf("a job that was asked for did not run again: %v", forced)
	}
}

const hook = `
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {helm.sh/hook: "post-install,post-upgrade"}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {test: {{ .Values.node }}}
      tolerations: [{operator: Exists}]
      containers: [{name: hook, image: nginx, env: [{name: VARIANT, value: hook}]}]
`

// TestHooks checks that hooks that follow a release run when it is ready, and that the
// error of a failed hook says why it failed.
func TestHooks(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	ready := false
	k := newKubelet(t, config, func(p *corev1.Pod) corev1.PodStatus {
		if variant(p) != "hook" {
			if !ready {
				return starts(p)
			}
			return runs(p)
		}
		if !ready {
			return exits(1)(p)
		}
		return succeeds(p)
	})
	pod := "nodeSelector: {test: " + k.node + "}\n      tolerations: [{operator: Exists}]"
	s := writeChart(t, dir, "web", map[string]string{
		"templates/web.yaml":  workload("apps/v1", "Deployment", selector, pod),
		"templates/hook.yaml": hook,
	})
	s.Values = map[string]any{"node": k.node}
	if err := b.Act(t.Context(), runtime.Deploy, b.release(s), func(e runtime.Body) {
		if _, ok := e.(runtime.WaitingFor); ok { // a hook that had run already would have failed
			k.mu.Lock()
			ready = true
			k.mu.Unlock()
		}
	}); err != nil {
		t.Fatal(explained(err))
	}
	if d := b.deployed("web"); !d.Ready || d.Status != "deployed" {
		t.Errorf("%+v is deployed", d)
	}
	k.now(by(map[string]func(*corev1.Pod) corev1.PodStatus{"hook": waits("InvalidImageName", "no")}))
	s.Values["tag"] = 2
	failed := b.fails(s, runtime.Rollback)
	contains(t, explained(failed), "job web-hook: it has not ended yet (pod web-hook-", "InvalidImageName: no")
	if failed.RolledBack != 1 {
		t.Errorf("gone back to revision %d, want 1", failed.RolledBack)
	}
}

const crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.NAME.test}
spec:
  group: NAME.test
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// TestCustomResources checks that a chart can define its own kinds, that resources of such
// a kind are awaited only if they report that they are not ready, and never longer than
// the timeout of the service.
func TestCustomResources(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	group := strings.ReplaceAll(b.namespace, "-", "") + ".test"
	thing := `
apiVersion: ` + group + `/v1
kind: Thing
metadata: {name: one}
spec: {size: {{ .Values.size }}}
`
	s := writeChart(t, dir, "web", map[string]string{
		"crds/thing.yaml":      strings.ReplaceAll(crd, "NAME.test", group),
		"templates/thing.yaml": thing,
		"templates/gone.yaml":  strings.ReplaceAll(`{{ if eq (int .Values.size) 1 }}`+thing+`{{ end }}`, "name: one", "name: two"),
		"values.yaml":          "size: 1\n",
	})
	things, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c := things.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "things"}).Namespace(b.namespace)
	t.Cleanup(func() {
		_ = things.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).
			Delete(t.Context(), "things."+group, metav1.DeleteOptions{})
	})
	b.deploy(s)

	is := func(status string) {
		t.Helper()
		u, err := c.Get(t.Context(), "one", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := unstructured.SetNestedSlice(u.Object, []any{map[string]any{"type": "Ready", "status": status, "reason": "Busy", "message": "so much to do"}}, "status", "conditions"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Update(t.Context(), u, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	is("False")
	s.Values = map[string]any{"size": 2}
	s.Timeout = plan.Duration(2 * time.Second)
	err = b.Act(t.Context(), runtime.Deploy, func() runtime.Release { r := b.release(s); r.OnFailure = runtime.Keep; return r }(), discard)
	if !errors.Is(err, runtime.ErrTimeout) {
		t.Fatalf("Deploy = %v, want a timeout", err)
	}
	contains(t, err.Error(), "timed out after 2s: thing one: Busy: so much to do")
	s.Timeout = plan.Duration(time.Hour)
	s.Values = map[string]any{"size": 3}
	r := b.release(s)
	r.OnFailure = runtime.Keep
	err = b.Act(t.Context(), runtime.Deploy, r, func(e runtime.Body) {
		if w, ok := e.(runtime.WaitingFor); ok && strings.HasPrefix(w.What, "thing one") {
			must(t, c.Delete(t.Context(), "one", metav1.DeleteOptions{}))
		}
	})
	if err == nil || errors.Is(err, runtime.ErrTimeout) || !strings.Contains(err.Error(), "thing one: it was deleted while it was waited for") {
		t.Errorf("Deploy = %v, want that thing one was deleted", err)
	}
	s.Values = map[string]any{"size": 4}
	b.deploy(s)
	is("False")
	s.Values = map[string]any{"size": 2}
	s.Timeout = plan.Duration(time.Minute)
	err = b.Act(t.Context(), runtime.Deploy, b.release(s), func(e runtime.Body) {
		if w, ok := e.(runtime.WaitingFor); ok && strings.HasPrefix(w.What, "thing one") {
			is("True")
		}
	})
	must(t, err)
	u, err := c.Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if size, _, _ := unstructured.NestedInt64(u.Object, "spec", "size"); size != 2 {
		t.Errorf("the size is %d, want 2", size)
	}
	if _, err := c.Get(t.Context(), "two", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what is not in the chart any more is still there: %v", err)
	}
}

// TestWarnings checks the warnings that do not stop a deploy: about fields that the server
// does not know, and about load balancers without an address.
func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t), Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{"templates/service.yaml": `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selektor: {app: web}, ports: [{port: 80}]}
`})
	s.Pos = plan.Pos{File: "Pipelinefile", Line: 3, Col: 1}
	var got []string
	if err := b.Act(t.Context(), runtime.Deploy, b.release(s), func(e runtime.Body) {
		if w, ok := e.(runtime.Warned); ok {
			got = append(got, w.Diagnostic.Pos.String()+" "+w.Diagnostic.Message)
		}
	}); err != nil {
		t.Fatal(explained(err))
	}
	want := `Pipelinefile:3:1 web: the cluster warns: unknown field "spec.selektor"
Pipelinefile:3:1 web: service web waits for a load balancer to give it an address`
	if strings.Join(got, "\n") != want {
		t.Errorf("warned of\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// TestWrongCharts checks that invalid charts are found before anything is changed, or leave
// nothing incomplete.
func TestWrongCharts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t), Dir: dir})
	fingerprint := func(s plan.Service) string {
		t.Helper()
		_, err := b.Fingerprint(t.Context(), runtime.Release{Namespace: b.namespace, Service: s})
		if err == nil {
			t.Errorf("Fingerprint of %s = nil", s.Name)
			return ""
		}
		return err.Error()
	}
	contains(t, fingerprint(plan.Service{Name: "web", Chart: &plan.Chart{Ref: "none"}}), "chart none: no such file or directory")
	contains(t, fingerprint(writeChart(t, dir, "template", map[string]string{"templates/a.yaml": "{{ .Values.a.b }}"})),
		"chart of template: ", "template/templates/a.yaml:1:10", "nil pointer evaluating interface {}.b")
	contains(t, fingerprint(writeChart(t, dir, "schema", map[string]string{"values.schema.json": `{"required": ["size"]}`})),
		"values don't meet the specifications of the schema", "size")

	kind := writeChart(t, dir, "kind", map[string]string{"templates/a.yaml": "apiVersion: none.test/v1\nkind: Thing\nmetadata: {name: x}\n"})
	err := b.Act(t.Context(), runtime.Deploy, b.release(kind), discard)
	if err == nil {
		t.Fatal("Deploy of an unknown kind = nil")
	}
	contains(t, err.Error(), "the cluster does not know the kind Thing of none.test/v1")
	if got := b.deployed("kind"); got != (runtime.Deployed{}) {
		t.Errorf("%+v is deployed", got)
	}

	// A megabyte that cannot be compressed.
	noise := make([]byte, 1<<20)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte('!' + r.IntN(90))
	}
	large := writeChart(t, dir, "large", map[string]string{"noise.txt": string(noise)})
	err = b.Act(t.Context(), runtime.Deploy, b.release(large), discard)
	if err == nil {
		t.Fatal("Deploy of a chart that is too large = nil")
	}
	contains(t, err.Error(), "the release is larger than the 1 MiB that a Secret may hold", ".helmignore")

	refused := writeChart(t, dir, "refused", map[string]string{"templates/a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 99999}]}\n"})
	failed := b.fails(refused, runtime.Rollback)
	contains(t, failed.Error(), "create service x: ", "spec.ports[0].port: Invalid value: 99999")
	if got := b.deployed("refused"); got.Status != "failed" || got.Ready {
		t.Errorf("%+v is deployed, want it failed", got)
	}
}

// TestStuckStatefulSet checks that a rollback repairs a StatefulSet whose pods are created
// one after another: Kubernetes itself waits forever for the pod of the failed revision to
// become ready.
func TestStuckStatefulSet(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	k := newKubelet(t, config, func(p *corev1.Pod) corev1.PodStatus {
		if strings.HasSuffix(p.Spec.Containers[0].Image, ":2") {
			return waits("InvalidImageName", "no")(p)
		}
		return runs(p)
	})
	pod := "nodeSelector: {test: " + k.node + "}\n      tolerations: [{operator: Exists}]"
	s := writeChart(t, dir, "set", map[string]string{
		"templates/set.yaml": workload("apps/v1", "StatefulSet", "replicas: 2\n  serviceName: x\n  "+selector, pod),
	})
	b.deploy(s)
	s.Values = map[string]any{"tag": 2}
	failed := b.fails(s, runtime.Rollback)
	if failed.RolledBack != 1 {
		t.Errorf("gone back to revision %d, want 1:\n%s", failed.RolledBack, explained(failed))
	}
	if d := b.deployed("set"); !d.Ready || d.Revision != 3 {
		t.Errorf("%+v is deployed, want revision 3, ready", d)
	}
	b.fails(s, runtime.Keep)
	s.Values = map[string]any{"tag": 3}
	b.deploy(s)
}
