//go:build unix

package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

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
		text := strings.Replace(string(data), `"metadata":{`, `"metadata":{"annotations":{},`, 1) // as kubectl writes it
		o.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": text})
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
		if a.ObjectKind == "Deployment" && strings.Contains(a.Diff, "-    team") {
			t.Errorf("the change of %s removes an annotation of others:\n%s", a.Name, a.Diff)
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
