//go:build unix

package deploy_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// leastRole is the Role of docs/rbac.yaml.
func leastRole(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	data, err := os.ReadFile("../../docs/rbac.yaml")
	must(t, err)
	var role rbacv1.Role
	must(t, yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096).Decode(&role))
	if role.Kind != "Role" || len(role.Rules) < 10 {
		t.Fatalf("docs/rbac.yaml begins with %s of %d rules", role.Kind, len(role.Rules))
	}
	return role.Rules
}

// fullPlan returns a plan with every kind of object that generated charts have.
func fullPlan(key runtime.EnvironmentKey, variant string) *plan.Plan {
	p := killPlan(key, variant)
	p.Services = slices.DeleteFunc(p.Services, func(s plan.Service) bool { return s.Namespace != "" }) // TestLeastRoleOfFurther
	for i := range p.Services {
		if s := &p.Services[i]; s.Name == "web" {
			s.Workload.Ports[0].Public, s.Workload.Ports[0].Host = true, key.Pipeline+".test"
		}
	}
	job := plan.Service{Name: "migrate", Type: plan.Job, Stage: "two", Image: plan.ImageSource{Ref: testImage}, Timeout: plan.Duration(time.Minute)}
	job.Workload = plan.Workload{Replicas: 1, Job: &plan.JobSpec{On: "deploy"}}
	job.Workload.Env = []plan.EnvVar{{Name: "VARIANT", Value: variant}}
	cron := with(job, variant)
	cron.Name, cron.Workload.Job = "nightly", &plan.JobSpec{On: "deploy", Schedule: "0 0 1 1 *"}
	if p.Services = append(p.Services, job); variant == "1" {
		p.Services = append(p.Services, cron)
	}
	return p
}

// lead runs all verbs of the command that act on an environment.
func lead(t *testing.T, config *rest.Config, key runtime.EnvironmentKey) error {
	rt, ctx := runtimeOn(t, config), t.Context()
	run := func(req runtime.Request) (*runtime.RunRecord, error) {
		req.Environment = key
		record, err := rt.Run(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", req.Action, explainedRun(err))
		}
		return record, nil
	}
	late := fullPlan(key, "1") // with a Secret that is created during the wait for it
	late.Services[1] = using(late.Services[1], "LATE", plan.SecretRef{Name: "late"})
	first, err := run(runtime.Request{Action: runtime.Deploy, Plan: late, Events: func(e runtime.Event) {
		if b, ok := e.Body.(runtime.StateChanged); ok && strings.HasPrefix(b.Reason, "waits for Secret ") {
			setSecret(t, testenv.Cluster(t), key.Namespace(), "late", map[string]string{"value": "4711"})
		}
	}})
	if err != nil {
		return err
	}
	for _, req := range []runtime.Request{
		{Action: runtime.Deploy, Plan: fullPlan(key, "2"), Prune: true},
		{Action: runtime.Restart},
		{Action: runtime.Stop},
		{Action: runtime.Start},
	} {
		if _, err := run(req); err != nil {
			return err
		}
	}
	if err := rt.Skip(ctx, key, "web"); err != nil {
		return err
	}
	back, err := rt.Rollback(ctx, runtime.Request{Environment: key, RollbackTo: first.ID})
	if err != nil {
		return err
	}
	back.Images = nil // there is no registry that could be asked for them
	back.RollbackTo = ""
	if _, err = run(back); err != nil {
		return err
	}
	lease, err := rt.Locker.Lock(ctx, key, "ana")
	if err != nil {
		return err
	}
	if _, err = rt.Cancel(ctx, key, "ben"); err != nil {
		return err
	}
	if by := <-lease.Cancelled(); by != "ben" {
		t.Errorf("cancelled by %q", by)
	}
	if err := lease.Release(ctx); err != nil {
		return err
	}
	_, err = run(runtime.Request{Action: runtime.Delete})
	return err
}

// made creates the namespace of an environment, like an administrator of the cluster.
func made(t *testing.T) runtime.EnvironmentKey {
	t.Helper()
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("rbac"), Name: "dev"}
	c := client(t, testenv.Cluster(t))
	t.Cleanup(func() { deleteNamespace(c, key.Namespace()) })
	createNamespace(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: key.Namespace()}})
	return key
}

// TestLeastRole: with the Role of docs/rbac.yaml everything works, and the Role has no
// unnecessary permissions.
func TestLeastRole(t *testing.T) {
	t.Parallel()
	key, rules := made(t), leastRole(t)
	config := limited(t, key.Namespace(), rules...)
	var mu sync.Mutex
	asked := make(map[string]bool)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			asked[rightOf(r)] = true
			mu.Unlock()
			return next.RoundTrip(r)
		})
	})
	if err := lead(t, config, key); err != nil {
		t.Fatal(err)
	}
	// Requests that are sent only when something fails.
	spare := []string{
		"list pods", "list deployments", "list statefulsets", "list replicasets", "list jobs", // if a server does not support lists in watches
		"watch persistentvolumeclaims", // while a pod is not scheduled, which may not occur
		"list events", "watch events", "get pods/log", "get pods", "delete pods", "patch services", "patch serviceaccounts", "patch persistentvolumeclaims", "patch ingresses", "patch jobs", "patch cronjobs", "get persistentvolumeclaims", "get serviceaccounts",
	}
	for _, rule := range rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				if right := verb + " " + resource; !asked[right] && !slices.Contains(spare, right) {
					t.Errorf("nothing needs %q", right)
				}
			}
		}
	}
}

// rightOf returns the permission that a request needs, such as "list pods".
func rightOf(r *http.Request) string {
	_, path, inNamespace := strings.Cut(r.URL.Path, "/namespaces/")
	if !inNamespace {
		return ""
	}
	parts := strings.Split(path, "/")
	if len(parts) == 1 { // the namespace itself
		parts = []string{"namespaces", path}
	} else {
		parts = parts[1:] // resource, name, subresource
	}
	resource := parts[0]
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	switch {
	case r.URL.Query().Get("watch") != "":
		verb = "watch"
	case len(parts) == 1 && verb == "get":
		verb = "list"
	case len(parts) == 1 && verb == "delete":
		verb = "deletecollection"
	}
	return verb + " " + resource
}

// TestMissingRule: without one of the rules, the error names the missing permission.
func TestMissingRule(t *testing.T) {
	t.Parallel()
	rules := leastRole(t)
	for i, rule := range rules {
		resource := rule.Resources[0]
		if slices.Contains([]string{"pods", "replicasets", "events", "pods/log"}, resource) {
			continue // only for finding and explaining failures
		}
		if resource == "namespaces" {
			continue // TestOwnerWithoutRights
		}
		t.Run(resource, func(t *testing.T) {
			t.Parallel()
			key := made(t)
			err := lead(t, limited(t, key.Namespace(), slices.Delete(slices.Clone(rules), i, i+1)...), key)
			if err == nil || !slices.ContainsFunc(rule.Resources, func(resource string) bool {
				return strings.Contains(err.Error(), fmt.Sprintf("resource %q in API group %q in the namespace %q", resource, rule.APIGroups[0], key.Namespace()))
			}) {
				t.Errorf("without %v: %v", rule.Resources, err)
			}
		})
	}
}
