package deploy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// lateStages returns a runtime and a plan: the chart of stage one creates the Secret made,
// which web needs in stage two, together with a Secret that pipe does not create.
func lateStages(t *testing.T) (*runtime.Runtime, *plan.Plan, runtime.EnvironmentKey) {
	t.Helper()
	config := testenv.Cluster(t)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("late"), Name: "dev"}
	t.Cleanup(func() { deleteNamespace(client(t, config), key.Namespace()) })
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Chart.yaml":            "apiVersion: v2\nname: maker\nversion: 0.1.0\n",
		"templates/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: made}\nstringData: {key: 4711-first-stage}\n",
	} {
		path := filepath.Join(dir, "maker", name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(t, os.WriteFile(path, []byte(text), 0o666))
	}
	rt := runtimeOn(t, config)
	rt.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: dir})
	maker := plan.Service{Name: "maker", Type: plan.Application, Stage: "one", Timeout: plan.Duration(time.Minute), Chart: &plan.Chart{Ref: "maker"}}
	web := using(using(container("web"), "MADE", plan.SecretRef{Name: "made", Key: "key"}), "HAND", plan.SecretRef{Name: "by-hand"})
	web.Stage, web.Image.Ref = "two", testImage
	beside := container("beside")
	beside.Stage, beside.Image.Ref = "two", testImage
	return rt, &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: key.Pipeline}, Environment: plan.EnvironmentRef{Name: key.Name, Kind: "environment"},
		Stages:   []plan.Stage{{Name: "one", Order: 1}, {Name: "two", Order: 2}},
		Services: []plan.Service{maker, web, beside},
	}, key
}

// TestLateSecrets: a service gets a Secret that an earlier stage has created, and one that a
// user creates while it waits; the other services of its stage continue.
func TestLateSecrets(t *testing.T) {
	t.Parallel()
	rt, p, key := lateStages(t)
	var mu sync.Mutex
	var warnings []string
	done := make(map[string]time.Time)
	makeIt := sync.OnceFunc(func() {
		setSecret(t, testenv.Cluster(t), key.Namespace(), "by-hand", map[string]string{"any": "4711-hand"})
	})
	req := runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p, Events: func(e runtime.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch b := e.Body.(type) {
		case runtime.Warned:
			warnings = append(warnings, b.Diagnostic.Message)
		case runtime.StateChanged:
			if b.State == runtime.Done {
				done[e.Service] = e.Time
			}
			if e.Service == "beside" && b.State == runtime.Done {
				makeIt()
			}
		}
	}}
	steps, err := rt.Preview(t.Context(), req)
	must(t, err)
	if s := steps[1]; s.Do != runtime.Deploying || s.Why != "waits for Secret by-hand (key value); Secret made (key key)" || len(s.Warnings) != 2 {
		t.Errorf("preview: %+v", s)
	}
	_, err = rt.Run(t.Context(), req)
	must(t, err)
	ns := key.Namespace()
	want := "web needs Secret by-hand (key value), which namespace " + ns + " does not have\nweb needs Secret made (key key), which namespace " + ns + " does not have"
	if got := strings.Join(warnings, "\n"); got != want {
		t.Errorf("warnings:\n%s\nwant\n%s", got, want)
	}
	if done["web"].Before(done["beside"]) {
		t.Error("web was deployed before its Secret was there")
	}
	d, err := client(t, testenv.Cluster(t)).AppsV1().Deployments(ns).Get(t.Context(), "web", metav1.GetOptions{})
	must(t, err)
	for _, env := range d.Spec.Template.Spec.Containers[0].Env {
		if ref := env.ValueFrom; ref != nil && ref.SecretKeyRef.Name == "by-hand" && ref.SecretKeyRef.Key != "any" {
			t.Errorf("variable %s is key %s", env.Name, ref.SecretKeyRef.Key)
		}
	}
	// The Secrets that it was deployed with are known, so nothing is left to do.
	steps, err = rt.Preview(t.Context(), req)
	must(t, err)
	for _, s := range steps {
		if s.Do != runtime.Unchanged || len(s.Warnings) > 0 {
			t.Errorf("again: %+v", s)
		}
	}
}

// TestLateSecretsInterrupted: an interrupt ends the wait immediately, without a release of
// the waiting service, and the next run needs no repair.
func TestLateSecretsInterrupted(t *testing.T) {
	t.Parallel()
	rt, p, key := lateStages(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	stop := errors.New("interrupted by ana")
	var at time.Time
	record, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p, Events: func(e runtime.Event) {
		if b, ok := e.Body.(runtime.StateChanged); ok && e.Service == "web" && strings.HasPrefix(b.Reason, "waits for Secret ") {
			at = time.Now()
			cancel(stop)
		}
	}})
	if !errors.Is(err, stop) || at.IsZero() {
		t.Fatalf("Run = %v", err)
	}
	if took := time.Since(at); took > 30*time.Second {
		t.Errorf("the run ended %s after the interrupt", took)
	}
	if s := record.Services[1]; s.State != runtime.Cancelled || s.Reason != stop.Error() {
		t.Errorf("web: %+v", s)
	}
	deployed, err := rt.Deployer.Deployed(t.Context(), key.Namespace())
	must(t, err)
	if _, there := deployed["web"]; there || !deployed["maker"].Ready {
		t.Errorf("deployed: %v", deployed)
	}
	setSecret(t, testenv.Cluster(t), key.Namespace(), "by-hand", map[string]string{"value": "4711"})
	_, err = rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p})
	must(t, err)
}

// TestLateSecretsNeverCome: the error names what is missing, and how to create it.
func TestLateSecretsNeverCome(t *testing.T) {
	t.Parallel()
	rt, p, key := lateStages(t)
	p.Services[1].Timeout = plan.Duration(3 * time.Second)
	_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p})
	var missing *runtime.SecretsError
	if !errors.As(err, &missing) || !errors.Is(err, runtime.ErrTimeout) || len(missing.Missing) != 1 {
		t.Fatalf("Run = %v", err)
	}
	ns := key.Namespace()
	if got, want := missing.Error(), "timed out after 3s: missing in namespace "+ns+": Secret by-hand (key value)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := missing.Missing[0].Make, "kubectl --namespace "+ns+" create secret generic by-hand --from-literal=value=VALUE"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSecretsThatCannotCome: Secrets that can never be created are an error before anything
// is deployed, one for all services.
func TestSecretsThatCannotCome(t *testing.T) {
	t.Parallel()
	rt, p, key := lateStages(t)
	ns := key.Namespace()
	p.Services[1].Workload.Env = nil
	p.Services[1] = using(p.Services[1], "ANY", plan.SecretRef{Name: "several"})
	p.Services[2] = using(p.Services[2], "ANY", plan.SecretRef{Name: "several"})
	createNamespace(t, client(t, testenv.Cluster(t)), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	setSecret(t, testenv.Cluster(t), ns, "several", map[string]string{"a": "4711", "b": "4711"})
	want := "Secret several of namespace " + ns + ` has the keys a, b: name one with secret("several", key = …)`
	for name, do := range map[string]func() error{
		"Preview": func() error {
			_, err := rt.Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p})
			return err
		},
		"Run": func() error {
			_, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p})
			return err
		},
	} {
		var failed *runtime.RunError
		if err := do(); !errors.As(err, &failed) || len(failed.Failed) != 2 {
			t.Errorf("%s = %v", name, err)
		} else if causes := runtime.Causes(failed.Failed); len(causes) != 1 || causes[0].Text != want {
			t.Errorf("%s: %+v, want %s", name, causes, want)
		}
	}
	if deployed, err := rt.Deployer.Deployed(t.Context(), ns); err != nil || len(deployed) > 0 {
		t.Errorf("deployed: %v, %v", deployed, err)
	}
}

// TestAbsentInChart: a chart that requires a value whose Secret does not exist yet is not
// checked, because its deploy waits for the Secret. Where it must be rendered, the error
// names the Secret.
func TestAbsentInChart(t *testing.T) {
	t.Parallel()
	config, dir := testenv.Cluster(t), t.TempDir()
	b := newBench(t, deploy.Options{Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{"templates/all.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {tag: "{{ .Values.tag }}", password: {{ required "auth.password is required" .Values.password | sha256sum }}}
`})
	s = tagged(s, "1")
	b.deploy(plan.Service{Name: "other", Type: plan.Helm, Timeout: s.Timeout, Chart: writeChart(t, dir, "other", map[string]string{"templates/all.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"}).Chart})
	s.Filled = []plan.Filled{
		{Path: []string{"password"}, Secret: &plan.SecretRef{Name: "auth", Key: "password"}},
		{Path: []string{"user"}, Secret: &plan.SecretRef{Name: "auth", Key: "user"}},
	}
	checked, err := b.Check(t.Context(), b.release(s), discard)
	if err != nil || !checked.Partial {
		t.Errorf("Check = %+v, %v, want a part, because the Secret does not exist", checked, err)
	}
	_, err = b.Changes(t.Context(), b.release(s), false)
	var of *runtime.ChartError
	if !errors.As(err, &of) || !slices.Equal(of.Absent, []string{"auth"}) || !strings.Contains(err.Error(), "the values of Secret auth, which do not exist yet, were left out") {
		t.Errorf("Changes = %v, want an error that names Secret auth", err)
	}
	setSecret(t, config, b.namespace, "auth", map[string]string{"password": "4711-late", "user": "4711-user"})
	b.prepare(s)
	b.deploy(s)
	s = tagged(s, "2")
	if checked, err := b.Check(t.Context(), b.release(s), discard); err != nil || checked.Partial {
		t.Errorf("Check with the Secret = %+v, %v", checked, err)
	}
}
