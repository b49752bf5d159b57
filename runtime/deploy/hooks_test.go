package deploy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// hooked returns a chart with a ConfigMap, and a Job that runs before each upgrade on a node
// of the test.
func hooked(t *testing.T, dir, name, policy string, k *kubelet) plan.Service {
	t.Helper()
	return writeChart(t, dir, name, map[string]string{"templates/all.yaml": `
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: pre-upgrade` + policy + `}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {test: ` + k.node + `}
      tolerations: [{operator: Exists}]
      containers: [{name: main, image: "nginx:{{ .Values.tag }}"}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {tag: "{{ .Values.tag }}"}
`})
}

func tagged(s plan.Service, tag string) plan.Service {
	s.Values = map[string]any{"tag": tag}
	return s
}

// hookJob returns the job of the hook, or nil.
func (b *bench) hookJob() *batchv1.Job {
	b.t.Helper()
	job, err := client(b.t, testenv.Cluster(b.t)).BatchV1().Jobs(b.namespace).Get(b.t.Context(), "migrate", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	must(b.t, err)
	return job
}

// byTag makes pods whose image has the tag "bad" fail, and all others succeed.
func byTag(p *corev1.Pod) corev1.PodStatus {
	if strings.HasSuffix(p.Spec.Containers[0].Image, ":bad") {
		return exits(3)(p)
	}
	return succeeds(p)
}

// TestHookLeft checks that the objects of a failed hook do not prevent later deploys,
// whatever its policy is, and that the failure has the last lines of the hook's log, even
// if the policy deletes the hook (D7, A8).
func TestHookLeft(t *testing.T) {
	t.Parallel()
	config := readingLogs(testenv.Cluster(t))
	k := newKubelet(t, config, byTag)
	k.log("main", false, "no such table: users\n")
	for name, policy := range map[string]string{
		"of its own":        "",
		"creation":          ", helm.sh/hook-delete-policy: before-hook-creation",
		"succeeded":         ", helm.sh/hook-delete-policy: hook-succeeded",
		"failed":            ", helm.sh/hook-delete-policy: hook-failed",
		"succeeded, failed": `, helm.sh/hook-delete-policy: "hook-succeeded,hook-failed"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := newBench(t, deploy.Options{Config: config, Dir: dir})
			s := hooked(t, dir, "web", policy, k)
			b.deploy(tagged(s, "1"))
			for range 2 {
				failed := b.fails(tagged(s, "bad"), runtime.Rollback)
				contains(t, failed.Error(), "job migrate: it failed: Job has reached the specified backoff limit")
				if failed.Cause != runtime.CauseCrash { // what its pod shows says more than that it is a hook
					t.Errorf("the cause is %q", failed.Cause)
				}
				contains(t, strings.Join(failed.Evidence, "\n"), "exited with status 3", "the last lines of container main:", "no such table: users")
			}
			if left := b.hookJob(); (left == nil) != strings.Contains(policy, "hook-failed") {
				t.Fatalf("after a failure the hook's job is %v", left)
			}
			b.deploy(tagged(s, "2"))
			if d := b.deployed("web"); !d.Ready {
				t.Errorf("%+v is deployed", d)
			}
			b.deploy(tagged(s, "3"))
			if job := b.hookJob(); (job == nil) != strings.Contains(policy, "hook-succeeded") {
				t.Errorf("after a success the hook's job is %v", job)
			}
		})
	}
}

// TestHookOfOthers checks that a hook never replaces or deletes objects of other owners, and
// that the error names the owner (D7).
func TestHookOfOthers(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	k := newKubelet(t, config, byTag)
	hook := map[string]string{"helm.sh/hook": "pre-upgrade"}
	for _, test := range []struct {
		name string
		is   metav1.ObjectMeta
		want string // "": it is replaced
		// Whether the same holds with the policy before-hook-creation.
		always bool
	}{
		{"made by hand", metav1.ObjectMeta{}, "belongs to nobody that it names (it was made with deploy.test)", true},
		{"of another release", metav1.ObjectMeta{Annotations: map[string]string{
			"helm.sh/hook": "pre-upgrade", "meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "",
		}}, "belongs to release shop,", true},
		{"of the release of that name in another namespace", metav1.ObjectMeta{Annotations: map[string]string{
			"helm.sh/hook": "pre-upgrade", "meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "other",
		}}, "belongs to release web of namespace other,", true},
		{"of a controller", metav1.ObjectMeta{Annotations: hook, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: "web", Controller: new(true)},
		}}, "belongs to configmap web,", true},
		{"a hook of another instance", metav1.ObjectMeta{Annotations: hook, Labels: map[string]string{"app.kubernetes.io/instance": "shop"}},
			"belongs to shop (by its label app.kubernetes.io/instance),", true},
		{"a hook without marks", metav1.ObjectMeta{Annotations: hook}, "belongs to nobody that it names", false},
		{"a hook of the same instance", metav1.ObjectMeta{Annotations: hook, Labels: map[string]string{"app.kubernetes.io/instance": "web"}}, "", true},
	} {
		for _, policy := range []string{"hook-succeeded", "before-hook-creation"} {
			t.Run(test.name+", "+policy, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				b := newBench(t, deploy.Options{Config: config, Dir: dir})
				s := hooked(t, dir, "web", ", helm.sh/hook-delete-policy: "+policy, k)
				b.deploy(tagged(s, "1"))
				is := suspended("migrate", test.is)
				if len(is.OwnerReferences) > 0 { // if the owner did not exist, the job would be deleted
					owner, err := client(t, config).CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
					must(t, err)
					is.OwnerReferences = []metav1.OwnerReference{is.OwnerReferences[0]}
					is.OwnerReferences[0].UID = owner.UID
				}
				made, err := client(t, config).BatchV1().Jobs(b.namespace).Create(t.Context(), is, metav1.CreateOptions{FieldManager: "deploy.test"})
				must(t, err)
				if test.want == "" || policy == "before-hook-creation" && !test.always {
					b.deploy(tagged(s, "2"))
					if is := b.hookJob(); is != nil && is.UID == made.UID {
						t.Errorf("the job was not replaced")
					}
					return
				}
				failed := b.fails(tagged(s, "2"), runtime.Rollback)
				contains(t, failed.Error(), "hook job migrate: an object of that name exists in namespace "+b.namespace+" and "+test.want,
					"kubectl --namespace "+b.namespace+" delete jobs.batch migrate")
				if is := b.hookJob(); is == nil || is.UID != made.UID || is.DeletionTimestamp != nil {
					t.Errorf("the job of somebody else is %v", is)
				}
				if failed.RolledBack != 1 {
					t.Errorf("gone back to revision %d, want 1", failed.RolledBack)
				}
			})
		}
	}
}

// TestHookKilled checks that the next process replaces the hook of a process that was
// killed, even if the hook is still running (A6, D7), and a hook without ownership labels,
// as Helm leaves it.
func TestHookKilled(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	for _, unmarked := range []bool{false, true} {
		t.Run(map[bool]string{false: "marked", true: "unmarked"}[unmarked], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			k := newKubelet(t, config, starts)
			b := newBench(t, deploy.Options{Config: config, Dir: dir})
			s := hooked(t, dir, "web", ", helm.sh/hook-delete-policy: hook-succeeded", k)
			b.deploy(tagged(s, "1"))
			r := b.release(tagged(s, "2"))
			mortal, dead := dying(config, 3, true) // the record, that the hook begins, the hook
			d := newDeployer(t, deploy.Options{Config: mortal, Dir: dir})
			if err := d.Act(t.Context(), runtime.Deploy, r, discard); err == nil || !dead.Load() {
				t.Fatalf("Deploy = %v, killed: %v", err, dead.Load())
			}
			if b.hookJob() == nil {
				t.Fatal("there is no job of the hook")
			}
			// If the job is replaced while Kubernetes creates its pod, it may wait five minutes for that pod, whose
			// job is gone, before it creates that of the new job.
			await(t, func() bool {
				pods, err := client(t, config).CoreV1().Pods(b.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=migrate"})
				must(t, err)
				return len(pods.Items) > 0 && pods.Items[0].Status.Phase == corev1.PodRunning
			})
			if unmarked {
				patch := `{"metadata":{"annotations":{"meta.helm.sh/release-name":null,"meta.helm.sh/release-namespace":null}}}`
				_, err := client(t, config).BatchV1().Jobs(b.namespace).Patch(t.Context(), "migrate", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
				must(t, err)
			}
			k.now(succeeds)
			if err := b.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
				t.Fatal(explained(err))
			}
			if d := b.deployed("web"); !d.Ready || d.Fingerprint != r.Fingerprint {
				t.Errorf("%+v is deployed", d)
			}
			if is := b.hookJob(); is != nil {
				t.Errorf("the hook's job is %v", is)
			}
		})
	}
}

// TestHookOfDeletion checks the hook of a deletion: that of another owner is kept, and that
// of a failed deletion is replaced by the next one.
func TestHookOfDeletion(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	k := newKubelet(t, config, exits(3))
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	s := hooked(t, dir, "web", ", helm.sh/hook-delete-policy: hook-succeeded", k)
	path := filepath.Join(dir, "web", "templates", "all.yaml")
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte(strings.Replace(string(text), "pre-upgrade", "pre-delete", 1)), 0o666))
	r := b.deploy(tagged(s, "1"))
	jobs := client(t, config).BatchV1().Jobs(b.namespace)
	made, err := jobs.Create(t.Context(), suspended("migrate", metav1.ObjectMeta{Annotations: map[string]string{"helm.sh/hook": "pre-delete"}}), metav1.CreateOptions{})
	must(t, err)
	err = b.Act(t.Context(), runtime.Delete, r, discard)
	if err == nil {
		t.Fatal("Delete = nil though the job of its hook is somebody else's")
	}
	contains(t, err.Error(), "hook job migrate: an object of that name exists in namespace "+b.namespace)
	if is := b.hookJob(); is == nil || is.UID != made.UID {
		t.Errorf("the job of somebody else is %v", is)
	}
	must(t, jobs.Delete(t.Context(), "migrate", metav1.DeleteOptions{}))
	for range 2 {
		if err = b.Act(t.Context(), runtime.Delete, r, discard); err == nil {
			t.Fatal("Delete = nil though its hook failed")
		}
		contains(t, explained(err), "job migrate: it failed", "exited with status 3")
	}
	k.now(succeeds)
	must(t, b.Act(t.Context(), runtime.Delete, r, discard))
	if d := b.deployed("web"); d != (runtime.Deployed{}) {
		t.Errorf("%+v is left", d)
	}
}

// suspended returns a job that does nothing.
func suspended(name string, m metav1.ObjectMeta) *batchv1.Job {
	m.Name = name
	return &batchv1.Job{ObjectMeta: m, Spec: batchv1.JobSpec{
		Suspend:  new(true),
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "nginx"}}}},
	}}
}

// TestHookVanishes checks that a hook whose job deletes itself after its end succeeds, and
// that a hook that a user deletes fails, both immediately and not only at the timeout of
// the service (D7).
func TestHookVanishes(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	for _, test := range []struct{ name, pod, want string }{
		{"by itself, succeeded", "succeeds", ""},
		{"by itself, failed", "fails", "job migrate: it failed: Job has reached the specified backoff limit"},
		{"by hand", "runs", "job migrate: it was deleted while it was waited for, and was not seen to succeed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			k := newKubelet(t, config, map[string]func(*corev1.Pod) corev1.PodStatus{"succeeds": succeeds, "fails": exits(3), "runs": runs}[test.pod])
			b := newBench(t, deploy.Options{Config: config, Dir: dir})
			s := hooked(t, dir, "web", "", k)
			path := filepath.Join(dir, "web", "templates", "all.yaml")
			text, err := os.ReadFile(path)
			must(t, err)
			ended := strings.Replace(string(text), "backoffLimit: 0", "backoffLimit: 0\n  ttlSecondsAfterFinished: 0", 1)
			must(t, os.WriteFile(path, []byte(ended), 0o666))
			s.Timeout = plan.Duration(time.Hour)
			b.deploy(tagged(s, "1"))
			r := b.release(tagged(s, "2"))
			r.OnFailure = runtime.Keep
			err = b.Act(t.Context(), runtime.Deploy, r, func(e runtime.Body) {
				if p, ok := e.(runtime.PodChanged); ok && p.Ready && test.pod == "runs" {
					background := metav1.DeletePropagationBackground
					must(t, client(t, config).BatchV1().Jobs(b.namespace).Delete(t.Context(), "migrate", metav1.DeleteOptions{PropagationPolicy: &background}))
				}
			})
			if test.want == "" {
				must(t, err)
				return
			}
			if err == nil {
				t.Fatal("Deploy = nil")
			}
			contains(t, err.Error(), test.want)
			if errors.Is(err, runtime.ErrTimeout) {
				t.Errorf("Deploy = %v: a timeout", err)
			}
		})
	}
}

// TestHookKeepsData checks that a claim that a hook creates is never replaced unless its
// policy requires it, as its data would be lost.
func TestHookKeepsData(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{"templates/claim.yaml": `
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  labels: {tag: "{{ .Values.tag }}"}
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: hook-failed}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`})
	b.deploy(tagged(s, "1"))
	claims := client(t, config).CoreV1().PersistentVolumeClaims(b.namespace)
	before, err := claims.Get(t.Context(), "data", metav1.GetOptions{})
	must(t, err)
	b.deploy(tagged(s, "2"))
	after, err := claims.Get(t.Context(), "data", metav1.GetOptions{})
	must(t, err)
	if after.UID != before.UID || after.Labels["tag"] != "2" {
		t.Errorf("the claim was %s %v, and is %s %v", before.UID, before.Labels, after.UID, after.Labels)
	}
}
