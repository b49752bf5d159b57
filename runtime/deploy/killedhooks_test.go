//go:build unix

package deploy_test

import (
	"fmt"
	"sync"
	"testing"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/pipelinefile/pipe/plan"
)

// migrating writes a chart below dir and returns its service: a Deployment and a Job, which
// is a hook after an install and before an upgrade and is deleted when it has succeeded. The
// label of the Job names the revision that runs it.
func migrating(t testing.TB, dir string) plan.Service {
	t.Helper()
	return writeChart(t, dir, "shop", map[string]string{"templates/all.yaml": `
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  labels: {revision: "{{ .Release.Revision }}"}
  annotations:
    helm.sh/hook: post-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "{{ .Values.image.reference }}"}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      containers: [{name: main, image: "{{ .Values.image.reference }}", env: [{name: VARIANT, value: "{{ .Values.variant }}"}]}]
`})
}

// hookRuns has the Jobs of hooks that were created in a namespace.
type hookRuns struct {
	mu   sync.Mutex
	runs map[string]map[types.UID]bool // by revision
}

// watchHooks records each Job "migrate" of a namespace, until the test ends.
func watchHooks(t *testing.T, c kubernetes.Interface, namespace string) *hookRuns {
	t.Helper()
	r := &hookRuns{runs: make(map[string]map[types.UID]bool)}
	factory := informers.NewSharedInformerFactoryWithOptions(c, 0, informers.WithNamespace(namespace))
	informer := factory.Batch().V1().Jobs().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(o any) {
		job, ok := o.(*batchv1.Job)
		if !ok || job.Name != "migrate" {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		revision := job.Labels["revision"]
		if r.runs[revision] == nil {
			r.runs[revision] = make(map[types.UID]bool)
		}
		r.runs[revision][job.UID] = true
	}})
	must(t, err)
	factory.StartWithContext(t.Context())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the Jobs cannot be watched")
	}
	return r
}

// check checks that no revision has run its hook more than once.
func (r *hookRuns) check(t *testing.T, namespace string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for revision, jobs := range r.runs {
		if len(jobs) > 1 {
			t.Errorf("%s: revision %s has run its hook %d times", namespace, revision, len(jobs))
		}
	}
}

// wrongHooks returns the errors in the hooks of a release's history: a hook that is recorded
// twice for a revision, or that did not succeed in the deployed revision.
func wrongHooks(t *testing.T, c kubernetes.Interface, namespace, name string) string {
	t.Helper()
	all, err := driver.NewSecrets(c.CoreV1().Secrets(namespace)).List(func(r *release.Release) bool { return r.Name == name })
	must(t, err)
	for _, r := range all {
		if len(r.Hooks) != 1 {
			return fmt.Sprintf("revision %d of %s has %d hooks", r.Version, name, len(r.Hooks))
		}
		if run := r.Hooks[0].LastRun; r.Info.Status == release.StatusDeployed && run.Phase != release.HookPhaseSucceeded {
			return fmt.Sprintf("the hook of revision %d of %s is recorded as %q", r.Version, name, run.Phase)
		}
	}
	return ""
}

// jobsIn returns the Jobs of a namespace.
func jobsIn(t *testing.T, c kubernetes.Interface, namespace string) (names []string) {
	t.Helper()
	jobs, err := c.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, j := range jobs.Items {
		names = append(names, "job "+j.Name)
	}
	return names
}
