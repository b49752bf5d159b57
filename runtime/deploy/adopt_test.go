//go:build unix

package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// runningIn returns what must survive an adoption: the identities of claims, pods and what
// makes pods, and the data of Secrets. Secrets of releases and of pipe are left out.
func runningIn(t *testing.T, c kubernetes.Interface, namespace string) []string {
	t.Helper()
	ctx := t.Context()
	var all []string
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range pods.Items {
		if metav1.GetControllerOf(&o).Kind != "Job" {
			all = append(all, fmt.Sprintf("pod %s %s", o.Name, o.UID))
		}
	}
	claims, err := c.CoreV1().PersistentVolumeClaims(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range claims.Items {
		all = append(all, fmt.Sprintf("claim %s %s %s", o.Name, o.UID, o.Spec.VolumeName))
	}
	deployments, err := c.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range deployments.Items {
		all = append(all, fmt.Sprintf("deployment %s %s", o.Name, o.UID))
	}
	replicaSets, err := c.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range replicaSets.Items {
		all = append(all, fmt.Sprintf("replicaset %s %s", o.Name, o.UID))
	}
	sets, err := c.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, o := range sets.Items {
		all = append(all, fmt.Sprintf("statefulset %s %s", o.Name, o.UID))
	}
	secrets, err := c.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner!=helm,app.kubernetes.io/managed-by!=pipe"})
	must(t, err)
	for _, o := range secrets.Items {
		all = append(all, fmt.Sprintf("secret %s %s %s", o.Name, o.UID, o.Data))
	}
	slices.Sort(all)
	return all
}

// settled reports whether all Deployments and StatefulSets of a namespace have the pods that
// they want, and no others.
func settled(t *testing.T, c kubernetes.Interface, namespace string) bool {
	t.Helper()
	want := int32(0)
	deployments, err := c.AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, d := range deployments.Items {
		if want += *d.Spec.Replicas; d.Status.ObservedGeneration < d.Generation || d.Status.ReadyReplicas != *d.Spec.Replicas {
			return false
		}
	}
	sets, err := c.AppsV1().StatefulSets(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, s := range sets.Items {
		if want += *s.Spec.Replicas; s.Status.ReadyReplicas != *s.Spec.Replicas {
			return false
		}
	}
	pods, err := c.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	return len(slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return metav1.GetControllerOf(&p).Kind == "Job" })) == int(want)
}

// chartIn writes a chart, a txtar archive, into a directory of charts.
func chartIn(t *testing.T, dir, name string, archive *txtar.Archive) string {
	t.Helper()
	for _, f := range archive.Files {
		file := filepath.Join(dir, name, f.Name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, f.Data, 0o644))
	}
	return filepath.Join(dir, name)
}

// runtimeIn returns a runtime whose charts are in dir.
func runtimeIn(t *testing.T, config *rest.Config, dir string) *runtime.Runtime {
	rt := runtimeOn(t, config)
	rt.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: dir})
	return rt
}

// ofChart returns a service with a chart that brings its own images.
func ofChart(name string) plan.Service {
	return plan.Service{Name: name, Type: plan.Application, Timeout: plan.Duration(2 * time.Minute), Chart: &plan.Chart{Ref: name}}
}

// planAt returns a plan of services with charts in the namespace of key.
func planAt(key runtime.EnvironmentKey, services ...plan.Service) *plan.Plan {
	p := planFor(key, services...)
	p.SetNamespace(key.Namespace())
	for i := range p.Services {
		p.Services[i].Image = plan.ImageSource{}
	}
	return p
}

// TestAdoptRelease takes over a running installation that the helm command has made, in its
// own namespace: nothing restarts, no claim and no Secret changes, and the history of the
// release continues (E8).
func TestAdoptRelease(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	c, helm := client(t, config), helm(t)
	archive, err := txtar.ParseFile("testdata/mastodon.txtar")
	must(t, err)
	chart := chartIn(t, dir, "mastodon", archive)
	namespace := namespace(t, config)
	_, err = helm("install", "mastodon", chart, "--namespace", namespace, "--create-namespace", "--set", "domain=social.test", "--timeout", "3m")
	must(t, err)
	await(t, func() bool { return settled(t, c, namespace) })
	before := runningIn(t, c, namespace)
	if len(before) < 6+4+4+4+2+1 {
		t.Fatalf("helm has made only %q", before)
	}

	rt := runtimeIn(t, config, dir)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("mastodon"), Name: "production"}.At(namespace)
	service := ofChart("mastodon")
	service.Values = plan.Values{"domain": "social.test"}
	p := planAt(key, service)
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	ownedBy(t, "a run without adopt", err, key, runtime.EnvironmentKey{})

	p.Services[0].Adopt = true
	steps, err := rt.Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	must(t, err)
	if len(steps) != 1 || steps[0].Do != runtime.Deploying || steps[0].Why != "takes over the release of another tool, revision 1" {
		t.Errorf("the preview is %+v", steps)
	}
	adopted(t, steps[0].Adopts, 12)
	var shown []runtime.Adoption
	var order []string
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p, Events: func(e runtime.Event) {
		switch b := e.Body.(type) {
		case runtime.Adopts:
			shown = append(shown, runtime.Adoption(b))
			order = append(order, "adopts")
		case runtime.StateChanged:
			order = append(order, string(b.State))
		}
	}})
	must(t, explainedRun(err))
	adopted(t, shown, 12)
	if i := slices.Index(order, string(runtime.Deploying)); i < len(shown) {
		t.Errorf("the events are %q: want what is taken over before it is deployed", order)
	}
	if after := runningIn(t, c, namespace); !slices.Equal(after, before) {
		t.Errorf("after the adoption:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	history, err := helm("history", "mastodon", "--namespace", namespace, "--output", "json")
	must(t, err)
	var revisions []struct {
		Revision int
		Status   string
	}
	must(t, json.Unmarshal([]byte(history), &revisions))
	if len(revisions) != 2 || revisions[0].Status != "superseded" || revisions[1].Status != "deployed" || revisions[1].Revision != 2 {
		t.Errorf("the history is %s", history)
	}

	// From then on it is like any other environment.
	record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	if err != nil || record.Services[0].State != runtime.Unchanged {
		t.Errorf("a second run = %+v, %v", record, err)
	}
	p = planAt(key, service) // without adopt
	p.Services[0].Values = plan.Values{"domain": "social.test", "streaming": map[string]any{"replicas": 2}}
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	must(t, explainedRun(err))
	more := runningIn(t, c, namespace)
	for _, line := range before {
		if !slices.Contains(more, line) {
			t.Errorf("after a change of replicas there is no %s", line)
		}
	}
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Delete, Environment: key, KeepVolumes: true})
	must(t, explainedRun(err))
	for _, line := range runningIn(t, c, namespace) {
		if !strings.HasPrefix(line, "claim ") && !strings.HasPrefix(line, "pod ") {
			t.Errorf("after the deletion there is %s", line)
		}
	}
	if _, err := c.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{}); err != nil {
		t.Errorf("the namespace, which helm made: %v", err)
	}
}

// adopted checks that a number of objects is taken over and that none of them changes.
func adopted(t *testing.T, all []runtime.Adoption, want int) {
	t.Helper()
	if len(all) != want {
		t.Errorf("%d objects are taken over, want %d: %v", len(all), want, all)
	}
	for _, a := range all {
		if a.From != "release mastodon" || a.Restarts || a.Diff != "" {
			t.Errorf("%v:\n%s", a, a.Diff)
		}
	}
}

const website = `
-- Chart.yaml --
apiVersion: v2
name: website
version: 1.0.0
-- values.yaml --
title: one
-- templates/all.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {title: {{ .Values.title | quote }}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: uploads}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Secret
metadata: {name: token}
stringData: {token: sesame-open}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: registry.test/web:1, env: [{name: LEVEL, value: info}]}
`

// byKubectl makes the objects of website as "kubectl apply" does, and adds what others have
// changed since.
func byKubectl(t *testing.T, c kubernetes.Interface, namespace string) {
	t.Helper()
	ctx := t.Context()
	createNamespace(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	by := metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"}
	apply := func(o metav1.Object) metav1.Object {
		data, err := json.Marshal(o)
		must(t, err)
		o.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(data)})
		return o
	}
	_, err := c.CoreV1().ConfigMaps(namespace).Create(ctx, apply(&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "settings"},
		Data: map[string]string{"title": "zero", "unused": "x"},
	}).(*corev1.ConfigMap), by)
	must(t, err)
	_, err = c.CoreV1().ConfigMaps(namespace).Patch(ctx, "settings", types.MergePatchType, []byte(`{"data": {"added": "by another"}}`), metav1.PatchOptions{FieldManager: "operator"})
	must(t, err)
	class := "standard"
	_, err = c.CoreV1().PersistentVolumeClaims(namespace).Create(ctx, apply(&corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, ObjectMeta: metav1.ObjectMeta{Name: "uploads"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}).(*corev1.PersistentVolumeClaim), by)
	must(t, err)
	_, err = c.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token"}, Data: map[string][]byte{"token": []byte("sesame-open"), "other": []byte("kept")}}, by)
	must(t, err)
	labels := map[string]string{"app": "web"}
	_, err = c.AppsV1().Deployments(namespace).Create(ctx, apply(&appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"old": "yes"}},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "web", Image: "registry.test/web:1", Env: []corev1.EnvVar{{Name: "LEVEL", Value: "info"}}}},
			}},
		},
	}).(*appsv1.Deployment), by)
	must(t, err)
	injected := `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "annotations": {"team": "blue"}}, "spec": {"replicas": 2, "template": {"metadata": {"annotations": {"inject": "yes"}}}}}`
	_, err = c.AppsV1().Deployments(namespace).Patch(ctx, "web", types.ApplyPatchType, []byte(injected), metav1.PatchOptions{FieldManager: "injector", Force: new(true)})
	must(t, err)
	await(t, func() bool { return settled(t, c, namespace) })
}

// TestAdoptObjects takes over objects that kubectl has made: what kubectl has set and the
// chart does not have is removed, what others have set is kept, and the pods stay (E8).
func TestAdoptObjects(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	c := client(t, config)
	chartIn(t, dir, "website", txtar.Parse([]byte(website)))
	namespace := namespace(t, config)
	byKubectl(t, c, namespace)
	before := runningIn(t, c, namespace)
	rt := runtimeIn(t, config, dir)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("site"), Name: "live"}.At(namespace)
	p := planAt(key, ofChart("website"))

	_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	var run *runtime.RunError
	var refused *runtime.RefusedError
	if !errors.As(err, &run) || !errors.As(run.Failed[0].Err, &refused) || len(refused.Changes) != 4 {
		t.Fatalf("a run without adopt = %v", explainedRun(err))
	}
	for _, change := range refused.Changes {
		if len(change.Next) == 0 || !strings.Contains(change.Next[0], "adopt=True") || !change.Exists {
			t.Errorf("%+v: want advice to adopt it", change)
		}
	}

	steps, err := rt.Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p, Adopt: true})
	must(t, err)
	var got []string
	for _, a := range steps[0].Adopts {
		got = append(got, fmt.Sprintf("%s %s of %s, restarts %v", a.ObjectKind, a.Name, a.From, a.Restarts))
		for _, part := range map[string][]string{
			"ConfigMap": {"-  title: zero", "+  title: one", "-  unused: x"}, "Deployment": {`-    old: "yes"`},
		}[a.ObjectKind] {
			if !strings.Contains(a.Diff, part) {
				t.Errorf("%q is not in the change of %s:\n%s", part, a.Name, a.Diff)
			}
		}
		if strings.Contains(a.Diff, "sesame") || (a.ObjectKind == "Secret" || a.ObjectKind == "PersistentVolumeClaim") && a.Diff != "" {
			t.Errorf("the change of %s is\n%s", a.Name, a.Diff)
		}
	}
	want := []string{
		"ConfigMap settings of kubectl, restarts false", "Deployment web of kubectl, restarts false",
		"PersistentVolumeClaim uploads of kubectl, restarts false", "Secret token of kubectl-client-side-apply, restarts false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("taken over are %q, want %q", got, want)
	}
	if after := runningIn(t, c, namespace); !slices.Equal(after, before) {
		t.Errorf("the preview has changed something: %q", after)
	}

	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p, Adopt: true})
	must(t, explainedRun(err))
	if after := runningIn(t, c, namespace); !slices.Equal(after, before) {
		t.Errorf("after the adoption:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	d, err := c.AppsV1().Deployments(namespace).Get(t.Context(), "web", metav1.GetOptions{})
	must(t, err)
	if d.Labels["old"] != "" || d.Annotations["team"] != "blue" || d.Spec.Template.Annotations["inject"] != "yes" || *d.Spec.Replicas != 2 {
		t.Errorf("the deployment has the labels %v, the annotations %v and %v, and %d replicas", d.Labels, d.Annotations, d.Spec.Template.Annotations, *d.Spec.Replicas)
	}
	settings, err := c.CoreV1().ConfigMaps(namespace).Get(t.Context(), "settings", metav1.GetOptions{})
	must(t, err)
	if fmt.Sprint(settings.Data) != "map[added:by another title:one]" {
		t.Errorf("the settings are %v", settings.Data)
	}
	record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	if err != nil || record.Services[0].State != runtime.Unchanged {
		t.Errorf("a run without adopt = %+v, %v", record, err)
	}
}

// TestAdoptNever: what belongs to another environment, or has a controller, is not taken
// over, and a release that another tool writes is not either (E8).
func TestAdoptNever(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	c := client(t, config)
	role := runtimetest.Unique("role")
	chartIn(t, dir, "roles", txtar.Parse([]byte(fmt.Sprintf(`
-- Chart.yaml --
apiVersion: v2
name: roles
version: 1.0.0
-- templates/role.yaml --
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %s}
`, role))))
	rt := runtimeIn(t, config, dir)
	keys := [2]runtime.EnvironmentKey{}
	for i := range keys {
		keys[i] = runtime.EnvironmentKey{Pipeline: runtimetest.Unique("never"), Name: "a"}
		t.Cleanup(func() { deleteNamespace(c, keys[i].Namespace()) })
	}
	_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planAt(keys[0], ofChart("roles"))})
	must(t, explainedRun(err))
	refuses := func(what string) {
		t.Helper()
		was, err := c.RbacV1().ClusterRoles().Get(t.Context(), role, metav1.GetOptions{})
		must(t, err)
		_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planAt(keys[1], ofChart("roles")), Adopt: true})
		var run *runtime.RunError
		var refused *runtime.RefusedError
		if !errors.As(err, &run) || !errors.As(run.Failed[0].Err, &refused) {
			t.Errorf("%s: %v, want a refusal", what, explainedRun(err))
		}
		is, err := c.RbacV1().ClusterRoles().Get(t.Context(), role, metav1.GetOptions{})
		must(t, err)
		if is.ResourceVersion != was.ResourceVersion {
			t.Errorf("%s: it has changed", what)
		}
	}
	refuses("of another environment")
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Delete, Environment: keys[0]})
	must(t, explainedRun(err))
	_, err = c.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role, OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Namespace", Name: "default", UID: defaultNamespace(t, c), Controller: new(true)},
	}}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = c.RbacV1().ClusterRoles().Delete(t.Context(), role, metav1.DeleteOptions{}) })
	refuses("of a controller")

	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("busy"), Name: "a"}
	t.Cleanup(func() { deleteNamespace(c, key.Namespace()) })
	asIfHelm(t, rt, c, key, "pending-upgrade", "api")
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(key, with(container("api"), "2")), Adopt: true})
	if err == nil || !strings.Contains(explainedRun(err).Error(), "release api is pending-upgrade: another tool writes it") {
		t.Errorf("a busy release: %v", explainedRun(err))
	}
}

func defaultNamespace(t *testing.T, c kubernetes.Interface) types.UID {
	t.Helper()
	n, err := c.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
	must(t, err)
	return n.UID
}

// asIfHelm deploys services and removes the marks of pipe from their releases, as if the
// helm command had made them, with a status.
func asIfHelm(t *testing.T, rt *runtime.Runtime, c kubernetes.Interface, key runtime.EnvironmentKey, status string, services ...string) {
	t.Helper()
	all := make([]plan.Service, len(services))
	for i, name := range services {
		all[i] = container(name)
	}
	_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: planFor(key, all...)})
	must(t, explainedRun(err))
	for _, name := range services {
		unmark(t, c, key.Namespace(), name, status)
	}
}

// unmark makes the first revision of a release one of the helm command.
func unmark(t *testing.T, c kubernetes.Interface, namespace, name, status string) {
	t.Helper()
	secret, err := c.CoreV1().Secrets(namespace).Get(t.Context(), "sh.helm.release.v1."+name+".v1", metav1.GetOptions{})
	must(t, err)
	for label := range secret.Labels {
		if strings.HasPrefix(label, "pipelinefile.github.io/") {
			delete(secret.Labels, label)
		}
	}
	secret.Labels["status"] = status
	_, err = c.CoreV1().Secrets(namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
}

// forget makes the objects of a release objects that kubectl has made.
func forget(t *testing.T, c kubernetes.Interface, namespace, name string) {
	t.Helper()
	ctx := t.Context()
	must(t, c.CoreV1().Secrets(namespace).Delete(ctx, "sh.helm.release.v1."+name+".v1", metav1.DeleteOptions{}))
	patch := []byte(`{"metadata": {"labels": {"app.kubernetes.io/managed-by": null}, "annotations": {"meta.helm.sh/release-name": null, "meta.helm.sh/release-namespace": null}}}`)
	_, err := c.AppsV1().Deployments(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	must(t, err)
	_, err = c.CoreV1().Services(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

// TestAdoptKills kills processes, with SIGKILL, at their writes while they take over a
// release of helm and objects of kubectl: the next run, whether it adopts or not, completes
// what was begun, and no pod is replaced (A6, E8).
func TestAdoptKills(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	fresh := func() (runtime.EnvironmentKey, []string) {
		t.Helper()
		key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("adopt"), Name: "dev"}
		t.Cleanup(func() { deleteNamespace(c, key.Namespace()) })
		must(t, perform(t.Context(), runtimeOn(t, config), key, "deploy 1"))
		unmark(t, c, key.Namespace(), "api", "deployed")
		forget(t, c, key.Namespace(), "web")
		return key, runningIn(t, c, key.Namespace())
	}
	check := func(what string, key runtime.EnvironmentKey, before []string) {
		t.Helper()
		if after := runningIn(t, c, key.Namespace()); !slices.Equal(after, before) {
			t.Errorf("%s: there is\n%s\nwant\n%s", what, strings.Join(after, "\n"), strings.Join(before, "\n"))
		}
		deployed, err := runtimeOn(t, config).Deployer.Deployed(t.Context(), key.Namespace())
		must(t, err)
		for _, name := range []string{"db", "api", "web", "shop"} {
			d := deployed[name]
			if d.Owner != key || d.Status != "deployed" || !d.Ready || d.Fingerprint == "" {
				t.Errorf("%s: %s is %+v", what, name, d)
			}
			if wrong := wrongHistory(t, c, key.Namespace(), name); wrong != "" {
				t.Errorf("%s: %s", what, wrong)
			}
		}
	}
	calm, before := fresh()
	var writes atomic.Int64
	must(t, perform(t.Context(), runtimeOn(t, counted(config, &writes)), calm, "adopt 1"))
	check("nobody was killed", calm, before)
	killed := 0
	for write := int64(1); write <= writes.Load() && killed < *kills; write++ {
		key, before := fresh()
		f := fate{Action: "adopt 1", Key: key, Write: write, After: write%2 == 0}
		if f.run(t) {
			killed++
		}
		again := "adopt 1"
		if all, err := runtimeOn(t, config).Deployer.Deployed(t.Context(), key.Namespace()); err == nil && all["api"].Owner == key && all["web"].Owner == key {
			again = "deploy 1" // both were begun
		}
		if err := perform(t.Context(), runtimeOn(t, config), key, again); err != nil {
			t.Errorf("%v: %s = %v", f, again, err)
		}
		check(f.String(), key, before)
	}
	t.Logf("%d processes were killed at %d writes", killed, writes.Load())
}
