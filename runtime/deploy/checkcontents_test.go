package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestCRDsOnly: a chart with another object in its directory crds, which Helm would create before it
// renders the chart, is refused, and nothing is written.
func TestCRDsOnly(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	b := newBench(t, deploy.Options{Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{
		"crds/pod.yaml":     "apiVersion: v1\nkind: Pod\nmetadata: {name: early}\nspec: {containers: [{name: a, image: not-verified}]}\n",
		"templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late}\n",
	})
	const want = "pod early is in the directory crds of the chart, which may have only CRDs: it belongs in templates"
	var of *runtime.ChartError
	if _, err := b.check(s); !errors.As(err, &of) || !strings.HasSuffix(err.Error(), "web/crds/pod.yaml: "+want) {
		t.Errorf("Check = %v", err)
	}
	of = nil
	if err := b.Act(t.Context(), runtime.Deploy, b.release(s), discard); !errors.As(err, &of) || !strings.Contains(err.Error(), want) {
		t.Errorf("Deploy = %v", err)
	}
	if _, err := client(t, config).CoreV1().Pods(b.namespace).Get(t.Context(), "early", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the pod: %v, want none", err)
	}
}

// TestCheckCRDs checks that there is a warning if a CRD of a chart has changed, which Helm
// does not apply, and none after the change was applied; and that the schema of a kind
// counts as a rule if it rejects an object (D8).
func TestCheckCRDs(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	b := newBench(t, deploy.Options{Dir: dir})
	group := strings.ReplaceAll(b.namespace, "-", "") + ".test"
	definition := func(schema string) string {
		return strings.ReplaceAll(strings.Replace(crd, "{openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}", schema, 1), "NAME.test", group)
	}
	one := definition("{openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer, maximum: 1}}}}}}")
	two := definition("{openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer, maximum: 2}}}}}}")
	files := map[string]string{
		"crds/thing.yaml":      one,
		"templates/thing.yaml": "apiVersion: " + group + "/v1\nkind: Thing\nmetadata: {name: one}\nspec: {size: {{ .Values.size }}}\n",
	}
	s := writeChart(t, dir, "web", files)
	s.Values = map[string]any{"size": 1}
	d, err := dynamic.NewForConfig(config)
	must(t, err)
	crds := d.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	t.Cleanup(func() { _ = crds.Delete(t.Context(), "things."+group, metav1.DeleteOptions{}) })
	if warned, err := b.check(s); err != nil || len(warned) > 0 {
		t.Fatalf("Check of the first revision = %q, %v", warned, err)
	}
	b.deploy(s)
	s.Values = map[string]any{"size": 2}
	warned, err := b.check(s)
	var refused *runtime.RefusedError
	if !errors.As(err, &refused) || len(warned) > 0 || !slices.Contains(refused.Changes[0].Rules, "CustomResourceDefinition things."+group) || !slices.Equal(refused.Changes[0].Fields, []string{"spec.size"}) {
		t.Errorf("Check of what the schema does not allow = %q, %v", warned, err)
	}

	files["crds/thing.yaml"] = two
	s = writeChart(t, dir, "web", files)
	b.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: dir}) // it has not read the chart before
	s.Values = map[string]any{"size": 1}
	warned, err = b.check(s)
	want := []string{"web: CRD things." + group + " in crds/thing.yaml of its chart is not as the cluster has it, and Helm does not change it: it creates CRDs with the first revision only" +
		" / apply it with: kubectl apply --server-side --filename web/crds/thing.yaml"}
	if err != nil || !slices.Equal(warned, want) {
		t.Errorf("Check with another CRD = %q, %v, want %q", warned, err, want)
	}
	schemas := []byte(`[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/maximum", "value": 2}]`)
	_, err = crds.Patch(t.Context(), "things."+group, types.JSONPatchType, schemas, metav1.PatchOptions{})
	must(t, err)
	if warned, err := b.check(s); err != nil || len(warned) > 0 {
		t.Errorf("Check after the CRD was applied = %q, %v", warned, err)
	}
	must(t, crds.Delete(t.Context(), "things."+group, metav1.DeleteOptions{}))
	await(t, func() bool {
		warned, err = b.check(s)
		return err == nil && len(warned) == 1 && strings.Contains(warned[0], "is not in the cluster")
	})
}

// TestCheckContents checks what later stages know about a release: its objects, and the
// rules for the cluster that it has or deletes (D8).
func TestCheckContents(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	b := newBench(t, deploy.Options{Dir: dir})
	group := strings.ReplaceAll(b.namespace, "-", "") + ".test"
	const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {tag: \"{{ .Values.tag }}\"}\n"
	const quota = "{{ if eq .Values.tag \"1\" }}\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small}\nspec: {hard: {pods: 5}}\n{{ end }}\n"
	has := func(s plan.Service) runtime.Checked {
		t.Helper()
		got, err := b.Check(t.Context(), b.release(s), discard)
		must(t, err)
		slices.SortFunc(got.Objects, func(a, b runtime.ObjectRef) int { return strings.Compare(a.String(), b.String()) })
		slices.Sort(got.Rules)
		return got
	}
	expect := func(what string, got, want runtime.Checked) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}

	quotas := writeChart(t, dir, "quotas", map[string]string{"templates/quota.yaml": quota})
	b.deploy(tagged(quotas, "1"))
	expect("a chart that gives a quota up", has(tagged(quotas, "2")), runtime.Checked{Rules: []string{"ResourceQuota"}})

	plain := writeChart(t, dir, "plain", map[string]string{"templates/settings.yaml": settings})
	expect("a chart with a ConfigMap, which may be a parameter of a policy", has(tagged(plain, "1")), runtime.Checked{Rules: []string{"ConfigMap"}, Objects: []runtime.ObjectRef{{Kind: "ConfigMap", Namespace: b.namespace, Name: "settings"}}})

	kinds := writeChart(t, dir, "kinds", map[string]string{
		"crds/thing.yaml":      strings.ReplaceAll(crd, "NAME.test", group),
		"templates/thing.yaml": "apiVersion: " + group + "/v1\nkind: Thing\nmetadata: {name: one}\n",
		"templates/hook.yaml":  "apiVersion: v1\nkind: LimitRange\nmetadata: {name: small, annotations: {helm.sh/hook: pre-install}}\nspec: {limits: []}\n",
	})
	small := runtime.ObjectRef{Kind: "LimitRange", Namespace: b.namespace, Name: "small"}
	want := runtime.Checked{
		Rules:   []string{"CustomResourceDefinition things." + group, "LimitRange", "custom resources", "custom resources"},
		Objects: []runtime.ObjectRef{{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "things." + group}, small},
	}
	expect("a chart with a kind of its own", has(kinds), want)
	d, err := dynamic.NewForConfig(config)
	must(t, err)
	crds := d.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	t.Cleanup(func() { _ = crds.Delete(t.Context(), "things."+group, metav1.DeleteOptions{}) })
	b.deploy(kinds)
	want = runtime.Checked{Rules: []string{"LimitRange", "custom resources", "custom resources"}, Objects: []runtime.ObjectRef{small, {Group: group, Kind: "Thing", Namespace: b.namespace, Name: "one"}}}
	expect("its second revision, which leaves the CRD as it is", has(kinds), want)
}

// TestCheckClaims: a claim that a service mounts and that does not exist is found before the
// service is deployed, also in a new namespace; what a release makes is known (D8, D11).
func TestCheckClaims(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	b := newBench(t, deploy.Options{Dir: dir})
	web := container("web")
	web.Workload.Mounts = []plan.Mount{{Claim: "media", Path: "/a"}, {Claim: "media", Path: "/b"}}
	has := func(s plan.Service) []runtime.ObjectRef {
		t.Helper()
		got, err := b.Check(t.Context(), b.release(s), discard)
		must(t, err)
		return got.Objects
	}
	ref := func(name string) runtime.ObjectRef {
		return runtime.ObjectRef{Kind: "PersistentVolumeClaim", Namespace: b.namespace, Name: name}
	}
	missing := func() {
		t.Helper()
		c := b.refuses(web)
		if c.Object != ref("media") || !c.Awaited || c.Why != "it does not exist in namespace "+b.namespace || len(c.Next) != 1 {
			t.Errorf("refused is %+v", c)
		}
	}
	missing()
	store := container("store")
	store.Workload.Volumes = []plan.Volume{{Name: "data", Path: "/data", Size: "1Mi"}}
	if got := has(store); !slices.Equal(got, []runtime.ObjectRef{ref("store-data")}) {
		t.Errorf("a service with a volume has %v", got)
	}
	plain := container("plain")
	b.deploy(plain) // the namespace is not new any more
	missing()
	if got := has(store); !slices.Contains(got, ref("store-data")) {
		t.Errorf("a service with a volume has %v", got)
	}
	set := writeChart(t, dir, "set", map[string]string{"templates/set.yaml": `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: x
  replicas: 2
  ordinals: {start: 3}
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: x, image: x}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
`})
	if got := has(set); !slices.Equal(got, []runtime.ObjectRef{{Group: "apps", Kind: "StatefulSet", Namespace: b.namespace, Name: "db"}, ref("data-db-3"), ref("data-db-4")}) {
		t.Errorf("a StatefulSet has %v", got)
	}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "media"}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}
	_, err := client(t, config).CoreV1().PersistentVolumeClaims(b.namespace).Create(t.Context(), claim, metav1.CreateOptions{})
	must(t, err)
	has(web)
}
