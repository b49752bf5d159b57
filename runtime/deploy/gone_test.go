package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestFinalizers checks that the wait for a namespace names the objects that keep it, with
// their finalizers, during the wait and when it fails, and that it ends when the finalizers
// are removed (D7).
func TestFinalizers(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("held"), Name: "dev"}
	namespace := key.Namespace()
	t.Cleanup(func() { deleteNamespace(c, namespace) })
	b := newBench(t, deploy.Options{Config: config})
	rt := runtimeOn(t, config)
	p := withData(key)
	p.Services = nil
	p.Version = plan.Version
	_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p, By: "test"})
	must(t, err)
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "held", Finalizers: []string{"example.org/hold"},
		// Like an object of a deleted release.
		Annotations: map[string]string{"meta.helm.sh/release-name": "gone"},
	}}
	_, err = c.CoreV1().ConfigMaps(namespace).Create(t.Context(), held, metav1.CreateOptions{})
	must(t, err)

	const what = "it still has configmap held (finalizer example.org/hold)"
	ctx, cancel := context.WithCancelCause(t.Context())
	late := fmt.Errorf("%w after a while", runtime.ErrTimeout)
	err = b.Remove(ctx, key, nil, false, func(e runtime.Body) {
		if w, ok := e.(runtime.WaitingFor); ok && strings.HasSuffix(w.What, what) {
			cancel(late)
		}
	})
	if !errors.Is(err, runtime.ErrTimeout) {
		t.Fatalf("Remove = %v", err)
	}
	contains(t, err.Error(), "timed out after a while, and namespace "+namespace+" still has configmap held (finalizer example.org/hold)",
		"kubectl --namespace "+namespace+" patch configmaps held --type merge --patch '{\"metadata\":{\"finalizers\":null}}'")

	var once sync.Once
	err = b.Remove(t.Context(), key, nil, false, func(e runtime.Body) {
		if w, ok := e.(runtime.WaitingFor); ok && strings.HasSuffix(w.What, what) {
			once.Do(func() {
				_, err := c.CoreV1().ConfigMaps(namespace).Patch(t.Context(), "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
				if err != nil {
					t.Error(err)
				}
			})
		}
	})
	must(t, err)
}

// TestUnboundClaim checks that a deploy whose pods are not scheduled names the claim, and
// that it reports that the rollback may take the same time again (D7).
func TestUnboundClaim(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t), Dir: dir})
	const claimed = "{{ if eq .Values.tag \"2\" }}volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]{{ end }}"
	s := writeChart(t, dir, "web", map[string]string{
		"templates/web.yaml": workload("apps/v1", "Deployment", selector, claimed),
		"templates/claim.yaml": `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: none-such, resources: {requests: {storage: 1Gi}}}
`})
	b.deploy(tagged(s, "1"))
	s.Timeout = plan.Duration(5 * time.Second)
	var waits []string
	err := b.Act(t.Context(), runtime.Deploy, b.release(tagged(s, "2")), func(e runtime.Body) {
		if w, ok := e.(runtime.WaitingFor); ok {
			waits = append(waits, w.What)
		}
	})
	var failed *runtime.ReleaseError
	if !errors.As(err, &failed) || !errors.Is(err, runtime.ErrTimeout) {
		t.Fatalf("Deploy = %v", err)
	}
	contains(t, err.Error(), "timed out after 5s: deployment web: ", "its volume claim data is not bound: its storage class none-such does not exist")
	want := runtime.UnboundClaim{Name: "data", Class: "none-such", Why: "its storage class none-such does not exist"}
	if !slices.Equal(failed.Unbound, []runtime.UnboundClaim{want}) {
		t.Errorf("unbound: %+v", failed.Unbound)
	}
	if !slices.Contains(waits, "release web to go back to revision 1, which may take 5s again") {
		t.Errorf("told to wait for %q", waits)
	}
}
