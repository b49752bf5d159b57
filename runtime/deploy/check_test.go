package deploy_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// check returns the changes of a service that the cluster would reject.
func (b *bench) check(s plan.Service) (warned []string, err error) {
	b.t.Helper()
	_, err = b.Check(b.t.Context(), b.release(s), func(e runtime.Body) {
		if w, ok := e.(runtime.Warned); ok {
			warned = append(warned, w.Diagnostic.Message+" / "+w.Diagnostic.Hint)
		}
	})
	return warned, err
}

// refuses returns the only change that the cluster would reject.
func (b *bench) refuses(s plan.Service) runtime.RefusedChange {
	b.t.Helper()
	_, err := b.check(s)
	var refused *runtime.RefusedError
	if !errors.As(err, &refused) || len(refused.Changes) != 1 || refused.Release != s.Name {
		b.t.Fatalf("Check = %v, want one refused change", err)
	}
	return refused.Changes[0]
}

const claimed = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{ .Release.Name }}}
spec:
  serviceName: x
  selector: {matchLabels: {app: x}}
  template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: "x:1"}]}}
  volumeClaimTemplates:
  - metadata: {name: data, labels: {tag: "{{ .Values.tag }}"}}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`

// TestCheck checks what is found before anything is written (D8): the fields that cannot be
// changed, and the advice, whose first way loses no data.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		chart string // uses .Values.tag, which is 1 and then 2
		want  runtime.RefusedChange
	}{
		"claims of a StatefulSet": {claimed, runtime.RefusedChange{
			Object: runtime.ObjectRef{Group: "apps", Kind: "StatefulSet", Name: "web"}, Fields: []string{"spec.volumeClaimTemplates"}, Why: "Forbidden: updates to statefulset spec for fields other than",
			Next: []string{"kubectl --namespace NS delete statefulsets.apps web --cascade=orphan, and run again: its pods and claims stay", "or leave spec.volumeClaimTemplates as it is"},
		}},
		"selector of a Deployment": {`
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: "x{{ .Values.tag }}"}}
  template: {metadata: {labels: {app: "x{{ .Values.tag }}"}}, spec: {containers: [{name: c, image: "x:1"}]}}
`, runtime.RefusedChange{
			Object: runtime.ObjectRef{Group: "apps", Kind: "Deployment", Name: "web"}, Fields: []string{"spec.selector"}, Why: "Invalid value: ",
			Next: []string{"leave spec.selector as it is", "or kubectl --namespace NS delete deployments.apps web, and run again: its pods end before new ones start; no data is lost"},
		}},
		"template of a Job": {`
apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: "x:{{ .Values.tag }}"}], terminationGracePeriodSeconds: {{ .Values.tag }}}}}
`, runtime.RefusedChange{
			Object: runtime.ObjectRef{Group: "batch", Kind: "Job", Name: "web"}, Fields: []string{"spec.template.spec"}, Why: "Invalid value: ",
			Next: []string{"give the job a name that changes with it", "or kubectl --namespace NS delete jobs.batch web, and run again: it runs again; the logs of its pods are lost"},
		}},
		"class of a claim": {`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: {{ .Release.Name }}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "class-{{ .Values.tag }}", resources: {requests: {storage: 1Gi}}}
`, runtime.RefusedChange{
			Object: runtime.ObjectRef{Kind: "PersistentVolumeClaim", Name: "web"}, Fields: []string{"spec.storageClassName"}, Why: "Forbidden: spec is immutable after creation",
			Next: []string{"leave spec.storageClassName as it is", "or give the volume another name and copy the data into it", "or kubectl --namespace NS delete persistentvolumeclaims web, and run again: ALL DATA of the volume is lost"},
		}},
		"data of an immutable Secret": {`
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
immutable: true
stringData: {key: "hidden-{{ .Values.tag }}"}
`, runtime.RefusedChange{
			Object: runtime.ObjectRef{Kind: "Secret", Name: "web"}, Fields: []string{"data"}, Why: "Forbidden: field is immutable when `immutable` is set",
			Next: []string{"give it another name in the chart", "or kubectl --namespace NS delete secrets web, and run again: what is in it and not in the chart is lost"},
		}},
		"a wrong value": {`
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {ports: [{port: {{ if eq .Values.tag "1" }}80{{ else }}99999{{ end }}}]}
`, runtime.RefusedChange{
			Object: runtime.ObjectRef{Kind: "Service", Name: "web"}, Fields: []string{"spec.ports[0].port", "spec.ports[0].targetPort"}, Why: "Invalid value: 99999",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := newBench(t, deploy.Options{Dir: dir})
			s := writeChart(t, dir, "web", map[string]string{"templates/all.yaml": test.chart})
			if _, err := b.check(tagged(s, "2")); err != nil {
				t.Fatalf("Check of the first revision = %v", err)
			}
			b.deploy(tagged(s, "1"))
			was := b.deployed("web")
			if _, err := b.check(tagged(s, "1")); err != nil {
				t.Errorf("Check without a change = %v", err)
			}
			got := b.refuses(tagged(s, "2"))
			test.want.Object.Namespace = b.namespace
			if got.Object != test.want.Object || !slices.Equal(got.Fields, test.want.Fields) || !strings.HasPrefix(got.Why, test.want.Why) || len(got.Rules) > 0 || got.Owner != (runtime.Place{}) || strings.Contains(got.Why, "hidden") {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if len(got.Next) != len(test.want.Next) {
				t.Errorf("next: %q, want %q", got.Next, test.want.Next)
			}
			for i, next := range test.want.Next {
				if next = strings.ReplaceAll(next, "NS", b.namespace); i >= len(got.Next) || !strings.HasPrefix(got.Next[i], next) {
					t.Errorf("next %d of %q, want %q", i, got.Next, next)
				}
			}
			if is := b.deployed("web"); is != was {
				t.Errorf("Check has written: %+v, before it was %+v", is, was)
			}
			// The deploy reports the same.
			r := b.release(tagged(s, "2"))
			r.OnFailure = runtime.Keep
			var refused *runtime.RefusedError
			if err := b.Act(t.Context(), runtime.Deploy, r, discard); !errors.As(err, &refused) || cmp.Diff(refused.Changes, []runtime.RefusedChange{got}) != "" {
				t.Errorf("Deploy = %v, want %+v", err, got)
			}
		})
	}
}

// TestCheckAdvice checks that the advice without loss works for a StatefulSet: its pod is
// the same afterwards.
func TestCheckAdvice(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	c := client(t, config)
	b := newBench(t, deploy.Options{Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{"templates/all.yaml": claimed})
	b.deploy(tagged(s, "1"))
	before, err := c.CoreV1().Pods(b.namespace).Get(t.Context(), "web-0", metav1.GetOptions{})
	must(t, err)
	orphan := metav1.DeletePropagationOrphan
	must(t, c.AppsV1().StatefulSets(b.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &orphan}))
	b.deploy(tagged(s, "2"))
	after, err := c.CoreV1().Pods(b.namespace).Get(t.Context(), "web-0", metav1.GetOptions{})
	must(t, err)
	if after.UID != before.UID {
		t.Error("the pod is another one")
	}
}

// TestCheckRules checks that changes that a rule of the cluster rejects are found, and
// distinguished from those that are never possible (D8).
func TestCheckRules(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	c := client(t, config)
	const balanced = `
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}, labels: {tag: "{{ .Values.tag }}"}}
spec: {type: {{ if eq .Values.tag "1" }}ClusterIP{{ else }}LoadBalancer{{ end }}, ports: [{port: 80}]}
`
	t.Run("quota", func(t *testing.T) {
		b := newBench(t, deploy.Options{Dir: dir})
		s := writeChart(t, dir, "quota", map[string]string{"templates/all.yaml": balanced})
		b.deploy(tagged(s, "1"))
		_, err := c.CoreV1().ResourceQuotas(b.namespace).Create(t.Context(), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "no-balancers"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceServicesLoadBalancers: resource.MustParse("0")}},
		}, metav1.CreateOptions{})
		must(t, err)
		await(t, func() bool {
			q, err := c.CoreV1().ResourceQuotas(b.namespace).Get(t.Context(), "no-balancers", metav1.GetOptions{})
			must(t, err)
			return len(q.Status.Hard) > 0
		})
		got := b.refuses(tagged(s, "2"))
		if !slices.Contains(got.Rules, "ResourceQuota") || slices.Contains(got.Rules, "custom resources") || !strings.Contains(got.Why, "exceeded quota: no-balancers") {
			t.Errorf("got %+v", got)
		}
	})
	for name, param := range map[string]*admissionv1.ParamKind{"admission": nil, "parameter": {APIVersion: "v1", Kind: "ConfigMap"}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, deploy.Options{Dir: dir})
			s := writeChart(t, dir, name, map[string]string{"templates/all.yaml": balanced})
			b.deploy(tagged(s, "1"))
			b.denyBalancers(c, param)
			got := b.awaitRefusal(tagged(s, "2"))
			// The API server may not know the parameter yet, and then denies for that reason.
			why := strings.Contains(got.Why, "balancers cost money") || param != nil && strings.Contains(got.Why, "no params found")
			if !slices.Contains(got.Rules, "ValidatingAdmissionPolicy.admissionregistration.k8s.io") || slices.Contains(got.Rules, "ResourceQuota") || !why || got.Object.String() != "service "+name {
				t.Errorf("got %+v", got)
			}
			if param != nil && !slices.Contains(got.Rules, "ConfigMap") {
				t.Errorf("the policy has parameters in a ConfigMap: got %+v", got)
			}
		})
	}
	for name, code := range map[string]int32{"webhook": 0, "webhook-403": 403, "webhook-409": 409} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, deploy.Options{Dir: dir})
			s := writeChart(t, dir, name, map[string]string{"templates/all.yaml": balanced})
			b.deploy(tagged(s, "1"))
			b.denyServices(c, code)
			got := b.awaitRefusal(tagged(s, "2"))
			if !slices.Contains(got.Rules, "ValidatingWebhookConfiguration.admissionregistration.k8s.io") || slices.Contains(got.Rules, "ResourceQuota") ||
				!strings.Contains(got.Why, "balancers cost money") || got.Object.String() != "service "+name {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// awaitRefusal returns the first change that a check of s refuses: a policy or a webhook
// takes effect after a moment.
func (b *bench) awaitRefusal(s plan.Service) (got runtime.RefusedChange) {
	await(b.t, func() bool {
		_, err := b.check(s)
		var refused *runtime.RefusedError
		if errors.As(err, &refused) {
			got = refused.Changes[0]
		}
		return err != nil
	})
	return got
}

// denyBalancers creates a policy for the namespace that denies changes to load balancers,
// unless its parameter allows them.
func (b *bench) denyBalancers(c kubernetes.Interface, param *admissionv1.ParamKind) {
	t, name := b.t, b.namespace
	policies, bindings := c.AdmissionregistrationV1().ValidatingAdmissionPolicies(), c.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = policies.Delete(ctx, name, metav1.DeleteOptions{})
		_ = bindings.Delete(ctx, name, metav1.DeleteOptions{})
	})
	expression := "object.spec.type != 'LoadBalancer'"
	var ref *admissionv1.ParamRef
	if param != nil {
		expression += " || params.data.balancers == 'allowed'"
		ref = &admissionv1.ParamRef{Name: "limits", ParameterNotFoundAction: new(admissionv1.DenyAction)}
		_, err := c.CoreV1().ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Data: map[string]string{"balancers": "denied"},
		}, metav1.CreateOptions{})
		must(t, err)
	}
	_, err := policies.Create(t.Context(), &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		ParamKind: param,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Update}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: expression, Message: "balancers cost money"}},
	}}, metav1.CreateOptions{})
	must(t, err)
	_, err = bindings.Create(t.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ParamRef: ref, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": b.namespace}}},
	}}, metav1.CreateOptions{})
	must(t, err)
}

// denyServices has the cluster ask a webhook, which denies changes of Services in the
// namespace with the code; 0: it gives none.
func (b *bench) denyServices(c kubernetes.Interface, code int32) {
	t := b.t
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionreview.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(w, "no review", http.StatusBadRequest)
			return
		}
		review.Response = &admissionreview.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Code: code, Message: "balancers cost money"}}
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	hooks, path := c.AdmissionregistrationV1().ValidatingWebhookConfigurations(), server.URL+"/deny"
	t.Cleanup(func() { _ = hooks.Delete(context.WithoutCancel(t.Context()), b.namespace, metav1.DeleteOptions{}) })
	_, err := hooks.Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name: "deny.example.org", AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNone),
		ClientConfig: admissionv1.WebhookClientConfig{URL: &path, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Update}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}},
		}},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": b.namespace}},
	}}}, metav1.CreateOptions{})
	must(t, err)
}

// await waits until is returns true.
func await(t *testing.T, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > waitTime {
			t.Fatal("it took too long")
		}
	}
}

// TestCheckOwners checks that objects of others are found before anything is written, both
// in an upgrade and in a first revision, and that the advice works (D8).
func TestCheckOwners(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	c := client(t, config)
	const two = `
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
{{- if eq .Values.tag "2" }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {tag: "2"}
{{- end }}
`
	for name, test := range map[string]struct {
		is    metav1.ObjectMeta
		why   string
		owner string
		next  []string
	}{
		"by hand": {
			metav1.ObjectMeta{}, "it exists, and belongs to nobody that it names (it was made with deploy.test), not to release web", "",
			[]string{
				"to have the release take it over, and change it: adopt=True of service web, or --take-ownership; pipe diff shows the change",
				"or give it another name in the chart of web", "or kubectl --namespace NS delete configmaps settings, and run again: what is in it is lost",
			},
		},
		"of another release": {
			metav1.ObjectMeta{Annotations: map[string]string{"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "NS"}},
			"it exists, and belongs to release shop, not to release web", "shop",
			[]string{
				"give it another name in the chart of web, or take it out of that of shop",
				"or, if another tool has deployed shop, take it over: adopt=True of service web, or --take-ownership; pipe diff shows the change",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, deploy.Options{Dir: dir})
			s := writeChart(t, dir, "web", map[string]string{"templates/all.yaml": two})
			b.deploy(tagged(s, "1"))
			test.is.Name = "settings"
			for key, value := range test.is.Annotations {
				test.is.Annotations[key] = strings.ReplaceAll(value, "NS", b.namespace)
			}
			_, err := c.CoreV1().ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: test.is, Data: map[string]string{"tag": "theirs"}}, metav1.CreateOptions{FieldManager: "deploy.test"})
			must(t, err)
			want := runtime.RefusedChange{Object: runtime.ObjectRef{Kind: "ConfigMap", Namespace: b.namespace, Name: "settings"}, Exists: true, Why: test.why}
			if test.owner != "" {
				want.Owner = runtime.Place{Namespace: b.namespace, Name: test.owner}
			}
			for _, next := range test.next {
				want.Next = append(want.Next, strings.ReplaceAll(next, "NS", b.namespace))
			}
			if diff := cmp.Diff(want, b.refuses(tagged(s, "2"))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var refused *runtime.RefusedError
			if err := b.Act(t.Context(), runtime.Deploy, b.release(tagged(s, "2")), discard); !errors.As(err, &refused) || cmp.Diff(refused.Changes, []runtime.RefusedChange{want}) != "" {
				t.Errorf("Deploy = %v, want %+v", err, want)
			}
			first := tagged(s, "2")
			first.Name = "other"
			if got := b.refuses(first); got.Object.String() != "configmap settings" {
				t.Errorf("of a first revision: %+v", got)
			}
			if test.owner != "" {
				return
			}
			adopts := tagged(s, "2")
			r := b.release(adopts)
			r.Adopt = true
			if checked, err := b.Check(t.Context(), r, discard); err != nil || len(checked.Adopted) != 1 {
				t.Errorf("Check with adopt = %+v, %v", checked, err)
			}
			must(t, b.Act(t.Context(), runtime.Deploy, r, discard))
		})
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

// TestKindOfEarlierRelease: objects of a kind that was unknown a moment ago can be deployed
// as soon as the release with its CRD, in templates, is deployed.
func TestKindOfEarlierRelease(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	b := newBench(t, deploy.Options{Dir: dir})
	group := strings.ReplaceAll(b.namespace, "-", "") + ".test"
	d, err := dynamic.NewForConfig(config)
	must(t, err)
	t.Cleanup(func() {
		crds := d.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
		_ = crds.Delete(context.WithoutCancel(t.Context()), "things."+group, metav1.DeleteOptions{})
	})
	operator := writeChart(t, dir, "operator", map[string]string{
		"templates/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n",
		"templates/thing.yaml":    "{{ if eq .Values.tag \"2\" }}\n" + strings.ReplaceAll(crd, "NAME.test", group) + "{{ end }}\n",
	})
	thing := writeChart(t, dir, "thing", map[string]string{"templates/thing.yaml": "apiVersion: " + group + "/v1\nkind: Thing\nmetadata: {name: one}\n"})
	b.deploy(tagged(operator, "1"))
	if _, err := b.check(thing); err != nil {
		t.Errorf("Check before its kind exists = %v", err)
	}
	b.deploy(tagged(operator, "2"))
	b.deploy(thing)
}

// TestCheckAsksLittle checks the cost of a check: nothing in a namespace that was created
// just now, and two requests for the change of one object.
func TestCheckAsksLittle(t *testing.T) {
	t.Parallel()
	config, asked := counting(testenv.Cluster(t))
	key := keyOf(namespace(t, config))
	d := newDeployer(t, deploy.Options{Config: config})
	s := container("api")
	must(t, d.Prepare(t.Context(), key, planOf(s)))
	r := releaseIn(key.Namespace(), s)
	var err error
	r.Fingerprint, err = d.Fingerprint(t.Context(), r)
	must(t, err)
	asked.take()
	_, err = d.Check(t.Context(), r, discard)
	must(t, err)
	if n := asked.take(); n["all"] != 0 {
		t.Errorf("in a new namespace it asked %s", shown(n))
	}
	must(t, d.Act(t.Context(), runtime.Deploy, r, discard))
	r.Service = with(s, "two")
	r.Fingerprint, err = d.Fingerprint(t.Context(), r)
	must(t, err)
	asked.take()
	_, err = d.Check(t.Context(), r, discard)
	must(t, err)
	if n := asked.take(); n["all"] > 4 || n["PATCH"] != 1 { // the history, the last revision, the Deployment
		t.Errorf("of a change it asked %s", shown(n))
	}
}
