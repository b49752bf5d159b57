package deploy_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// operatorTemplate is a chart with an object of the cluster, one of the namespace with a
// secret, and a volume.
const operatorTemplate = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "{{ .Values.role }}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {password: "{{ .Values.password }}", namespace: "{{ .Release.Namespace }}"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: operator-data
  annotations: {helm.sh/resource-policy: keep}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`

// operatorOf returns the service of a chart that is written to the workspace dir.
func operatorOf(t *testing.T, dir, role, namespace string) plan.Service {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "operator", "templates"), 0o777))
	for name, text := range map[string]string{"Chart.yaml": "apiVersion: v2\nname: operator\nversion: 1.0.0\n", "templates/all.yaml": operatorTemplate} {
		must(t, os.WriteFile(filepath.Join(dir, "operator", name), []byte(text), 0o666))
	}
	return plan.Service{
		Name: "operator", Type: plan.Helm, Stage: "one", Timeout: plan.Duration(time.Minute), Namespace: namespace,
		Chart: &plan.Chart{Ref: "operator"}, Values: plan.Values{"role": role},
		Filled: []plan.Filled{{Path: []string{"password"}, Secret: &plan.SecretRef{Name: "password"}}},
	}
}

func furtherPlan(key runtime.EnvironmentKey, s plan.Service) *plan.Plan {
	return &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: key.Pipeline},
		Environment: plan.EnvironmentRef{Name: key.Name, Kind: "environment"},
		Stages:      []plan.Stage{{Name: "one", Order: 1}}, Services: []plan.Service{s},
	}
}

// TestFurtherNamespace: a chart in a namespace of its own uses the secrets of the
// environment. When the environment is deleted, its volume and its namespace are deleted,
// unless pipe did not create the namespace or something of others is in it.
func TestFurtherNamespace(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	ours := metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/instance": "gone"}, Name: "theirs"}
	for _, test := range []struct {
		name        string
		before      bool // the namespace exists before
		then        func(t *testing.T, namespace string)
		keepVolumes bool
		want        string // why the namespace is kept; empty: it is deleted
		left        []string
	}{
		{name: "all"},
		{name: "not ours", before: true, want: "pipe did not make it, or others use it"},
		{name: "volumes kept", keepVolumes: true, want: "its volumes are to be kept", left: []string{"operator-data"}},
		{name: "volume of others", want: "pipe did not make all that is in it: persistentvolumeclaim theirs; to delete", left: []string{"theirs"}, then: func(t *testing.T, namespace string) {
			// It looks like one of a release that was deleted, and may be in use.
			claim := &corev1.PersistentVolumeClaim{ObjectMeta: ours, Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			}}
			_, err := c.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), claim, metav1.CreateOptions{})
			must(t, err)
		}},
		{name: "object of others", want: "pipe did not make all that is in it: configmap theirs; to delete", then: func(t *testing.T, namespace string) {
			_, err := c.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: ours}, metav1.CreateOptions{})
			must(t, err)
		}},
		{name: "used by two", want: "pipe did not make it, or others use it", then: func(t *testing.T, namespace string) {
			key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("second"), Name: "dev"}
			t.Cleanup(func() { deleteNamespace(c, key.Namespace()) })
			other := container("other")
			other.Namespace = namespace
			must(t, newDeployer(t, deploy.Options{Config: config}).Prepare(t.Context(), key, furtherPlan(key, other)))
		}},
		{name: "owned meanwhile", want: "it belongs to environment a of pipeline b", then: func(t *testing.T, namespace string) {
			n, err := c.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
			must(t, err)
			maps.Copy(n.Labels, runtime.EnvironmentKey{Pipeline: "b", Name: "a"}.Labels())
			_, err = c.CoreV1().Namespaces().Update(t.Context(), n, metav1.UpdateOptions{})
			must(t, err)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("further"), Name: "dev"}
			further := key.Namespace() + "-own"
			t.Cleanup(func() {
				deleteNamespace(c, key.Namespace())
				deleteNamespace(c, further)
			})
			if test.before {
				createNamespace(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: further}})
			}
			dir := t.TempDir()
			rt := runtimeOn(t, config)
			rt.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: dir, Secrets: source{"password": "one"}})
			p := furtherPlan(key, operatorOf(t, dir, key.Pipeline, "{pipeline}-{environment}-own"))
			told := ""
			do := func(action runtime.Action) error {
				t.Helper()
				req := runtime.Request{Action: action, Environment: key, KeepVolumes: action == runtime.Delete && test.keepVolumes, Events: func(e runtime.Event) {
					if w, ok := e.Body.(runtime.Warned); ok {
						told += w.Diagnostic.Message + "\n"
					}
				}}
				if action == runtime.Deploy {
					req.Plan = p
				}
				_, err := rt.Run(t.Context(), req)
				return explainedRun(err)
			}
			must(t, do(runtime.Deploy))
			settings, err := c.CoreV1().ConfigMaps(further).Get(t.Context(), "settings", metav1.GetOptions{})
			must(t, err)
			if want := map[string]string{"password": "one", "namespace": further}; !maps.Equal(settings.Data, want) {
				t.Errorf("the chart has %v, want %v", settings.Data, want)
			}
			n, err := c.CoreV1().Namespaces().Get(t.Context(), further, metav1.GetOptions{})
			must(t, err)
			if owner := runtime.OwnerOf(n.Labels); owner != (runtime.EnvironmentKey{}) || test.before && (len(n.Labels) > 1 || len(n.Annotations) > 0) {
				t.Errorf("the namespace has the labels %v and annotations %v", n.Labels, n.Annotations)
			}
			if test.then != nil {
				test.then(t, further)
			}
			told = ""
			must(t, do(runtime.Delete))
			_, err = c.CoreV1().Namespaces().Get(t.Context(), further, metav1.GetOptions{})
			if gone := apierrors.IsNotFound(err); gone != (test.want == "") {
				t.Errorf("the namespace: %v", err)
			}
			if want := "namespace " + further + " is kept: " + test.want; test.want != "" && !strings.HasPrefix(told, want) || test.want == "" && told != "" {
				t.Errorf("told %q, want %q", told, want)
			}
			if got := dataIn(t, c, further); !slices.Equal(got, test.left) {
				t.Errorf("left %v, want %v", got, test.left)
			}
		})
	}
}

// TestFurtherNamespaceMoves: an object of the cluster that the release in the former
// namespace has is refused before anything is written, with what to do.
func TestFurtherNamespaceMoves(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("moves"), Name: "dev"}
	further := key.Namespace() + "-own"
	t.Cleanup(func() {
		deleteNamespace(c, key.Namespace())
		deleteNamespace(c, further)
	})
	dir := t.TempDir()
	rt := runtimeOn(t, config)
	rt.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: dir, Secrets: source{"password": "one"}})
	do := func(req runtime.Request) error {
		req.Environment = key
		_, err := rt.Run(t.Context(), req)
		return err
	}
	s := operatorOf(t, dir, key.Pipeline, "")
	must(t, explainedRun(do(runtime.Request{Action: runtime.Deploy, Plan: furtherPlan(key, s)})))
	s.Namespace = further
	err := do(runtime.Request{Action: runtime.Deploy, Plan: furtherPlan(key, s), Prune: true})
	var failed *runtime.RunError
	var refused *runtime.RefusedError
	if !errors.As(err, &failed) || !errors.As(failed.Failed[0].Err, &refused) || len(refused.Changes) != 1 {
		t.Fatalf("Run = %v, want a RefusedError", err)
	}
	change := refused.Changes[0]
	if want := "clusterrole " + key.Pipeline; change.Object.String() != want || !strings.Contains(change.Why, "release operator of namespace "+key.Namespace()) {
		t.Errorf("refused %v: %s, want %s", change.Object, change.Why, want)
	}
	if want := "if the service had the namespace " + key.Namespace() + " before, delete the release there, with what it runs, and run again: pipe delete dev --service operator"; len(change.Next) == 0 || change.Next[0] != want {
		t.Errorf("next is %q, want %q", change.Next, want)
	}
	must(t, do(runtime.Request{Action: runtime.Delete, Services: []string{"operator"}}))
	must(t, explainedRun(do(runtime.Request{Action: runtime.Deploy})))
	deployed, err := rt.Deployer.Deployed(t.Context(), further)
	if err != nil || !deployed["operator"].Ready {
		t.Errorf("Deployed = %v, %v", deployed, err)
	}
	must(t, do(runtime.Request{Action: runtime.Delete}))
}

// TestLeastRoleOfFurther: a further namespace needs the Role of docs/rbac.yaml without the
// state and the lock, in addition to what the chart has.
func TestLeastRoleOfFurther(t *testing.T) {
	t.Parallel()
	key, rules := made(t), leastRole(t)
	c, config := client(t, testenv.Cluster(t)), limited(t, key.Namespace(), rules...)
	further := key.Namespace() + "-own"
	t.Cleanup(func() { deleteNamespace(c, further) })
	createNamespace(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: further}})
	var less []rbacv1.PolicyRule
	for _, r := range rules {
		switch r.Resources[0] {
		case "configmaps", "leases":
			continue
		case "namespaces":
			r.Verbs = []string{"get"}
		}
		less = append(less, r)
	}
	name := metav1.ObjectMeta{Name: "pipe"}
	_, err := c.RbacV1().Roles(further).Create(t.Context(), &rbacv1.Role{ObjectMeta: name, Rules: less}, metav1.CreateOptions{})
	must(t, err)
	_, err = c.RbacV1().RoleBindings(further).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "pipe"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "limited", Namespace: key.Namespace()}},
	}, metav1.CreateOptions{})
	must(t, err)
	rt := runtimeOn(t, config)
	agent := container("agent")
	agent.Stage, agent.Image.Ref, agent.Namespace = "one", testImage, "{pipeline}-{environment}-own"
	await(t, func() bool { // the API server uses the state of its own watches
		_, err := rt.Deployer.Deployed(context.WithoutCancel(t.Context()), further)
		return err == nil
	})
	for _, action := range []runtime.Action{runtime.Deploy, runtime.Restart, runtime.Stop, runtime.Start, runtime.Delete} {
		req := runtime.Request{Action: action, Environment: key}
		if action == runtime.Deploy {
			req.Plan = furtherPlan(key, agent)
		}
		_, err := rt.Run(t.Context(), req)
		must(t, explainedRun(err))
	}
}

// TestFurtherShown: status, logs and events show what the environment has in a namespace
// that it shares with others, and nothing of theirs.
func TestFurtherShown(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c, node := client(t, config), newKubelet(t, config, runs)
	shared := namespace(t, config)
	createNamespace(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shared}})
	d, shown := newDeployer(t, deploy.Options{Config: config}), newInspector(t, readingLogs(config))
	// web is in the namespace of the environment; others have a web in the shared one.
	var envs []*runtime.Environment
	for i, names := range [][2]string{{"agent", "web"}, {"agent-of-others", "agent"}, {"web", "agent"}} {
		key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("shown"), Name: "dev"}
		t.Cleanup(func() { deleteNamespace(c, key.Namespace()) })
		p := &plan.Plan{Pipeline: plan.Pipeline{Name: key.Pipeline}, Environment: plan.EnvironmentRef{Name: key.Name}}
		for k, name := range names {
			s := node.on(container(name))
			s.Stage = "one"
			if k == 0 {
				s.Namespace = shared
			}
			p.Services = append(p.Services, s)
		}
		p.Stages = []plan.Stage{{Name: "one", Order: 1}}
		must(t, d.Prepare(t.Context(), key, p))
		for k := range p.Services {
			s := p.Services[k]
			if i > 0 && k > 0 {
				continue // only in the shared namespace
			}
			r := releaseIn(key.NamespaceOf(&s), s)
			r.Pipeline, r.Environment, r.Home = key.Pipeline, key.Name, key.Namespace()
			if err := d.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
				t.Fatal(explained(err))
			}
		}
		envs = append(envs, &runtime.Environment{Key: key, Plan: p})
	}
	first := envs[0]
	live, err := shown.Live(t.Context(), first)
	must(t, err)
	places := slices.SortedFunc(maps.Keys(live), runtime.ComparePlaces)
	want := []runtime.Place{{Namespace: shared, Name: "agent"}, {Namespace: first.Key.Namespace(), Name: "web"}}
	if !slices.Equal(places, want) {
		t.Errorf("Live = %v, want %v", places, want)
	}
	if is := live[want[0]]; is == nil || len(is.Pods) != 1 || is.Deployed.Owner != first.Key {
		t.Errorf("the live release is %+v", is)
	}

	for name, at := range map[string]string{"agent": "5", "web": "4", "agent-of-others": "3"} {
		node.log(name, false, "2026-01-02T03:04:0"+at+"Z line of "+name+"\n")
	}
	var lines []string
	must(t, shown.Logs(t.Context(), first, inspect.LogOptions{}, func(l inspect.LogLine) { lines = append(lines, l.Service+": "+l.Text) }))
	if want := []string{"web: line of web", "agent: line of agent"}; !slices.Equal(lines, want) {
		t.Errorf("Logs = %q, want %q", lines, want)
	}
	ctx, stop := context.WithTimeout(t.Context(), waitTime)
	defer stop()
	lines = nil
	err = shown.Logs(ctx, first, inspect.LogOptions{Follow: true}, func(l inspect.LogLine) {
		if lines = append(lines, l.Service); len(lines) == 2 {
			stop()
		}
	})
	if slices.Sort(lines); !errors.Is(err, context.Canceled) || !slices.Equal(lines, []string{"agent", "web"}) {
		t.Errorf("followed %q, %v", lines, err)
	}

	for in, objects := range map[string][]string{shared: {"agent-1", "agent-of-others-1", "web-1", "something"}, first.Key.Namespace(): {"web-2", "anything"}} {
		for _, name := range objects {
			_, err := c.CoreV1().Events(in).Create(t.Context(), &corev1.Event{
				ObjectMeta: metav1.ObjectMeta{Name: name}, InvolvedObject: corev1.ObjectReference{Kind: "Test", Name: name, Namespace: in}, Type: "Normal", LastTimestamp: metav1.Now(),
			}, metav1.CreateOptions{})
			must(t, err)
		}
	}
	var happened []string
	must(t, shown.Happenings(t.Context(), first, false, func(h inspect.Happening) {
		if name, ok := strings.CutPrefix(h.Object, "test "); ok {
			happened = append(happened, name+" of "+h.Service)
		}
	}))
	slices.Sort(happened)
	if want := []string{"agent-1 of agent", "anything of ", "web-2 of web"}; !slices.Equal(happened, want) {
		t.Errorf("Happenings = %q, want %q", happened, want)
	}

	tailed := make(chan string, 10)
	tail := shown.Tail(first.Key.Namespace(), func(l inspect.LogLine) { tailed <- l.Service }, func(text string) { t.Errorf("trouble: %s", text) })
	defer tail.Close()
	tail.Follow(want[0])
	must(t, c.CoreV1().Pods(shared).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=agent"}))
	select {
	case service := <-tailed:
		if service != "agent" {
			t.Errorf("Tail has a line of %s", service)
		}
	case <-time.After(waitTime):
		t.Error("Tail has no line of the new pod")
	}
}
