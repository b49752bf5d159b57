package deploy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestSecretMakers: the message about a missing Secret names the object that should create
// it, and why it has not.
func TestSecretMakers(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	const group = "external-secrets.io"
	objects, err := dynamic.NewForConfig(config)
	must(t, err)
	t.Cleanup(func() {
		_ = objects.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).
			Delete(t.Context(), "externalsecrets."+group, metav1.DeleteOptions{})
	})
	definition := strings.NewReplacer("NAME.test", group, "kind: Thing", "kind: ExternalSecret", "things", "externalsecrets").Replace(crd)
	b.deploy(writeChart(t, dir, "operator", map[string]string{
		"crds/external.yaml": definition,
		"templates/external.yaml": `
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: vault}
spec: {target: {name: made}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: mail}
`,
	}))
	resources := objects.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "externalsecrets"}).Namespace(b.namespace)
	vault, err := resources.Get(t.Context(), "vault", metav1.GetOptions{})
	must(t, err)
	must(t, unstructured.SetNestedSlice(vault.Object, []any{map[string]any{"type": "Ready", "status": "False", "reason": "SecretSyncedError", "message": "no such entry"}}, "status", "conditions"))
	_, err = resources.Update(t.Context(), vault, metav1.UpdateOptions{})
	must(t, err)

	api := using(using(using(container("api"), "A", plan.SecretRef{Name: "made"}), "B", plan.SecretRef{Name: "mail"}), "C", plan.SecretRef{Name: "nobodys"})
	api.Timeout = plan.Duration(2 * time.Second)
	look := "kubectl --namespace " + b.namespace + " describe externalsecrets.external-secrets.io "
	want := []*runtime.SecretMaker{
		{Object: "ExternalSecret vault", Why: "SecretSyncedError: no such entry", Show: look + "vault"},
		{Object: "ExternalSecret mail", Show: look + "mail"}, nil,
	}
	makers := func(missing []runtime.MissingSecret) []*runtime.SecretMaker {
		var all []*runtime.SecretMaker
		for _, m := range missing {
			all = append(all, m.By)
		}
		return all
	}
	missing, err := b.MissingSecrets(t.Context(), keyOf(b.namespace), planOf(api))
	must(t, err)
	if diff := cmp.Diff(want, makers(missing)); diff != "" {
		t.Errorf("MissingSecrets (-want +got):\n%s", diff)
	}
	var late *runtime.SecretsError
	if err := b.AwaitSecrets(t.Context(), keyOf(b.namespace), planOf(api), "api", discard); !errors.As(err, &late) {
		t.Fatalf("AwaitSecrets = %v", err)
	}
	if diff := cmp.Diff(want, makers(late.Missing)); diff != "" {
		t.Errorf("AwaitSecrets (-want +got):\n%s", diff)
	}
	contains(t, late.Error(), "Secret made (key value), to be made by ExternalSecret vault (SecretSyncedError: no such entry); Secret mail (key value), to be made by ExternalSecret mail; Secret nobodys (key value)")
}
