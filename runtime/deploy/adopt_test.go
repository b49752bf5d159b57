//go:build unix

package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
		rt := runtimeOn(t, config)
		patient(t, rt, config) // so that the first revision of each release is the deployed one
		must(t, perform(t.Context(), rt, key, "deploy 1"))
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
	must(t, complete(t, runtimeOn(t, counted(config, &writes)), calm, "adopt 1"))
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
		if err := complete(t, runtimeOn(t, config), key, again); err != nil {
			t.Errorf("%v: %s = %v", f, again, err)
		}
		check(f.String(), key, before)
	}
	t.Logf("%d processes were killed at %d writes", killed, writes.Load())
}
