package local

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// harbor is a plan in which the value of a secret is in names.
func harbor() *plan.Plan {
	service := func(name string) plan.Service {
		return plan.Service{Name: name, Type: plan.Container, Stage: "apps", Image: plan.ImageSource{Ref: "goharbor/" + name + ":v2"}, Workload: plan.Workload{Replicas: 1}}
	}
	return &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: "shop", BuildParallelism: 1, DeployParallelism: 1},
		Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages:      []plan.Stage{{Name: "apps", Order: 1}},
		Services:    []plan.Service{service("harbor-registry"), service("portal")},
	}
}

// A leaky deployer says what it is told to.
type leaky struct {
	runtime.Deployer
	says string
}

func (d leaky) Act(_ context.Context, _ runtime.Action, r runtime.Release, emit runtime.Emit) error {
	emit(runtime.Warned{Diagnostic: plan.Diagnostic{Message: d.says}})
	return fmt.Errorf("%s: %s", r.Service.Name, d.says)
}

// TestRedact: a value that came from a source of secrets is in nothing that a run
// says, and the names of the plan are as they are, though the value is in them (D4).
func TestRedact(t *testing.T) {
	var notices []string
	r := newRedactor(func(what string) { notices = append(notices, what) })
	from := secrets{Secrets{EnvSecrets("", []string{"ADMIN=harbor", "TOKEN=s3cr3t-value"})}, r}
	for _, name := range []string{"admin", "token"} {
		if _, err := from.Secret(t.Context(), plan.SecretRef{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	w := runtimetest.NewWorld()
	for _, s := range harbor().Services {
		w.Registry.Upstream(s.Image.Ref, plan.DigestOf([]byte(s.Name)))
	}
	rt := w.Runtime()
	rt.Hide = r.hide
	rt.Deployer = leaky{w.Deployer, "pod harbor-registry-0 of goharbor/harbor-registry:v2: wrong password harbor, token s3cr3t-value"}
	const want = "pod harbor-registry-0 of goharbor/harbor-registry:v2: wrong password REDACTED, token REDACTED"
	var warned []string
	record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: harbor(), Events: func(e runtime.Event) {
		if w, ok := e.Body.(runtime.Warned); ok {
			warned = append(warned, w.Diagnostic.Message)
		}
	}})
	if err == nil || record == nil || !strings.Contains(record.Services[0].Error, "harbor-registry: "+want) {
		t.Errorf("Run = %+v, %v", record, err)
	}
	if !slices.Contains(warned, want) {
		t.Errorf("warnings: %q", warned)
	}
	if len(notices) > 0 {
		t.Errorf("notices: %q", notices)
	}
}

// TestRedactWeak: of a value that cannot be kept out it is said, once and without
// the value, whether the plan is known before it is read or after.
func TestRedactWeak(t *testing.T) {
	var notices []string
	r := newRedactor(func(what string) { notices = append(notices, what) })
	from := secrets{Secrets{EnvSecrets("", []string{"PIN=123", "ENGINE=postgres", "ONE=portal", "TWO=harbor-registry", "GOOD=s3cr3t-value", "SMTP_USER=shop"})}, r}
	read := func(name, key string) {
		t.Helper()
		if _, err := from.Secret(t.Context(), plan.SecretRef{Name: name, Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	read("one", "")
	read("good", "")
	read("smtp", "user") // which is not a secret
	hide := r.hide(harbor())
	read("two", "")
	for range 2 {
		read("pin", "")
		read("engine", "")
		r.hide(harbor())
	}
	if diff := cmp.Diff([]string{
		"the value of secret one is not hidden in output: it is also a name in the plan; use a longer, random one",
		"the value of secret two is not hidden in output: it is also a name in the plan; use a longer, random one",
		"the value of secret pin is not hidden in output: it has fewer than 4 characters; use a longer, random one",
		"the value of secret engine is not hidden in output: it is a word or a number that output is full of; use a longer, random one",
	}, notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
	if got, want := hide("service portal of shop-staging: s3cr3t-value"), "service portal of shop-staging: REDACTED"; got != want {
		t.Errorf("hide = %q, want %q", got, want)
	}
}
