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

	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

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
