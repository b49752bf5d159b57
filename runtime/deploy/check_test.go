package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
				"give it another name in the chart of web, or take it out of release shop",
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

// TestCheckManifests: what to do about an object that exists says where the objects of the
// release are from.
func TestCheckManifests(t *testing.T) {
	t.Parallel()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t)})
	config := func(name string) plan.ManifestSource {
		return plan.ManifestSource{Object: plan.Values{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}}}
	}
	s := plan.Service{Name: "web", Type: plan.Manifests, Timeout: plan.Duration(time.Minute), Manifests: []plan.ManifestSource{config("own")}}
	b.deploy(s)
	_, err := client(t, testenv.Cluster(t)).CoreV1().ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}}, metav1.CreateOptions{})
	must(t, err)
	s.Manifests = append(s.Manifests, config("settings"))
	_, err = b.Check(t.Context(), b.release(s), discard)
	var refused *runtime.RefusedError
	if !errors.As(err, &refused) || !slices.Contains(refused.Changes[0].Next, "or give it another name in the manifests of web") {
		t.Errorf("Check = %v, %+v", err, refused)
	}
}
