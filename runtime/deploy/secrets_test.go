package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// A source is a source of secrets.
type source map[string]string

func (s source) Secret(_ context.Context, ref plan.SecretRef) (runtime.Secret, error) {
	if v, ok := s[strings.TrimSuffix(ref.Name+"/"+ref.Key, "/")]; ok {
		return runtime.NewSecret(v), nil
	}
	return runtime.Secret{}, runtime.ErrNotFound
}

func using(s plan.Service, name string, ref plan.SecretRef) plan.Service {
	s.Workload.Env = append(s.Workload.Env, plan.EnvVar{Name: name, Secret: &ref})
	return s
}

func database(name string) plan.Service {
	return plan.Service{
		Name: name, Type: plan.Database, Timeout: container(name).Timeout,
		Workload: plan.Workload{
			Replicas: 1,
			Ports:    []plan.Port{{Number: 5432, Name: "port-5432", Protocol: "TCP"}},
			Database: &plan.DatabaseSpec{Engine: "postgresql", Version: "15", Storage: "1Gi"},
		},
	}
}

func (b *bench) secret(name string) *corev1.Secret {
	b.t.Helper()
	s, err := client(b.t, testenv.Cluster(b.t)).CoreV1().Secrets(b.namespace).Get(b.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// TestSecrets checks where values come from, that a change of one replaces the
// pods that use it, and that none is anywhere but in its Secret (D4).
func TestSecrets(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	const given, own, changed = "given-value-4711", "own-value-4712", "changed-value-4713"
	from := source{"STRIPE_API": given}
	b := newBench(t, deploy.Options{Config: config, Secrets: from})
	c := client(t, config)
	if _, err := c.CoreV1().Secrets(b.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "mail"}, Data: map[string][]byte{"smtp": []byte(own)},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s := using(using(container("api"), "MAIL", plan.SecretRef{Name: "mail"}), "STRIPE", plan.SecretRef{Name: "STRIPE_API"})
	other := container("other")
	b.prepare(s, other)
	b.deploy(s)
	b.deploy(other)
	if got := b.secret("stripe-api"); string(got.Data["value"]) != given || got.Labels["app.kubernetes.io/managed-by"] != "pipe" {
		t.Errorf("the Secret of the value that was given is %v", got)
	}
	pods := func(name string) string {
		t.Helper()
		d, err := c.AppsV1().Deployments(b.namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(d.Spec.Template)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	contains(t, pods("api"), `"secretKeyRef":{"name":"mail","key":"smtp"}`, `"secretKeyRef":{"name":"stripe-api","key":"value"}`)

	// A new process with the same values finds nothing to do.
	same := func(from source, name string, want bool) {
		t.Helper()
		b2 := &bench{newDeployer(t, deploy.Options{Config: config, Secrets: from}), t, b.namespace}
		service := map[string]plan.Service{"api": s, "other": other}[name]
		r := b2.release(service) // what a preview does
		b2.prepare(s, other)
		if again := b2.release(service); again.Fingerprint != r.Fingerprint {
			t.Errorf("%s: a preview says something else than a run", name)
		}
		if got := b2.deployed(name).Fingerprint == r.Fingerprint; got != want {
			t.Errorf("%s is unchanged: %v, want %v", name, got, want)
		}
	}
	same(from, "api", true)
	same(source{}, "api", true) // the cluster keeps what was given once

	// Each changed value changes what uses it, and nothing else.
	before := pods("api")
	same(source{"STRIPE_API": changed}, "api", false)
	same(source{"STRIPE_API": changed}, "other", true)
	b = &bench{newDeployer(t, deploy.Options{Config: config, Secrets: source{"STRIPE_API": changed}}), t, b.namespace}
	b.prepare(s, other)
	b.deploy(s)
	if pods("api") == before {
		t.Error("the pods stay as they are though a secret has changed")
	}
	same(source{"STRIPE_API": changed}, "api", true)
	mail := b.secret("mail")
	mail.Data["smtp"] = []byte(changed)
	if _, err := c.CoreV1().Secrets(b.namespace).Update(t.Context(), mail, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	same(source{"STRIPE_API": changed}, "api", false)
	mail = b.secret("mail")
	mail.Labels = map[string]string{"some": "label"}
	mail.Data["smtp"] = []byte(own)
	if _, err := c.CoreV1().Secrets(b.namespace).Update(t.Context(), mail, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	same(source{"STRIPE_API": changed}, "api", true)

	// The values are nowhere else: not in releases, not in objects.
	list, err := c.CoreV1().Secrets(b.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Items {
		manifest, err := helm(t)("get", "all", s.Labels["name"], "--revision", s.Labels["version"], "--namespace", b.namespace)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{given, own, changed} {
			if strings.Contains(manifest, value) || bytes.Contains(s.Data["release"], []byte(value)) {
				t.Errorf("revision %s of %s holds the value %s", s.Labels["version"], s.Labels["name"], value)
			}
		}
	}
	for _, value := range []string{given, own, changed} {
		if strings.Contains(pods("api"), value) {
			t.Errorf("the pods' template holds the value %s", value)
		}
	}
}

// TestMissingSecrets checks that all that is missing is said at once, before
// anything is written.
func TestMissingSecrets(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config, Secrets: source{"given": "4711-given", "taken": "4711-other"}})
	c := client(t, config)
	for name, data := range map[string]map[string][]byte{
		"several": {"a": []byte("4711-a"), "b": []byte("4711-b")},
		"empty":   nil,
		"taken":   {"value": []byte("4711-mine")},
	} {
		if _, err := c.CoreV1().Secrets(b.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	api := container("api")
	for i, ref := range []plan.SecretRef{{Name: "given"}, {Name: "none", Key: "key"}, {Name: "several"}, {Name: "several", Key: "c"}, {Name: "empty"}, {Name: "taken"}, {Name: "several", Key: "b"}} {
		api = using(api, fmt.Sprintf("V%d", i), ref)
	}
	worker := using(container("worker"), "KEY", plan.SecretRef{Name: "none", Key: "key"})
	worker.Pos = plan.Pos{File: "Pipelinefile", Line: 3, Col: 1}
	err := b.Prepare(t.Context(), keyOf(b.namespace), planOf(api, worker, database("db")))
	if err == nil {
		t.Fatal("Prepare = nil")
	}
	ns := " in namespace " + b.namespace
	want := []string{
		"secret taken: Secret taken of namespace " + b.namespace + " was not made by pipe and holds another value than the source of secrets gives; delete the one or leave out the other",
		"secret none, which service api (variable V1) and service worker (variable KEY, Pipelinefile:3:1) need: there is no Secret none" + ns + "; give its value with --secrets, or with: kubectl --namespace " + b.namespace + " create secret generic none --from-literal=key=…",
		`secret several, which service api (variable V2) needs: Secret several has several keys (a, b): name one with secret("several", key=…)` + ns,
		"secret several, which service api (variable V3) needs: Secret several has no key c; it has a, b" + ns,
		"secret empty, which service api (variable V4) needs: Secret empty is empty" + ns,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("Prepare (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "4711") {
		t.Errorf("a value is in the error: %v", err)
	}
	list, err := c.CoreV1().Secrets(b.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 3 {
		t.Errorf("there are %d Secrets after an error, want the 3 of before: %v", len(list.Items), err)
	}

	// A source that cannot be read is not one without the secret.
	broken := errors.New("vault is sealed")
	d := newDeployer(t, deploy.Options{Config: config, Secrets: failing{broken}})
	if err := d.Prepare(t.Context(), keyOf(b.namespace), planOf(worker)); !errors.Is(err, broken) {
		t.Errorf("Prepare = %v, want %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Secret(context.Context, plan.SecretRef) (runtime.Secret, error) {
	return runtime.Secret{}, f.err
}

// TestCredentials checks that a database's credentials are made once and outlive
// all that is done to its release, like its volume (D6).
func TestCredentials(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	db := database("db")
	api := using(container("api"), "DATABASE_URL", plan.SecretRef{Service: "db", Key: "url"})
	b.prepare(db, api)
	b.deploy(db)
	b.deploy(api)
	first := b.secret("db-credentials")
	password := string(first.Data["password"])
	if len(password) != 32 || string(first.Data["url"]) != "postgresql://app:"+password+"@db:5432/app?sslmode=disable" {
		t.Errorf("the password has %d characters, the url is %s", len(password), strings.ReplaceAll(string(first.Data["url"]), password, "…"))
	}
	r := b.release(db)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"prepare", func() error { return b.Prepare(t.Context(), keyOf(b.namespace), planOf(db, api)) }},
		{"stop", func() error { return b.Stop(t.Context(), r, discard) }},
		{"delete", func() error { return b.Delete(t.Context(), r, discard) }},
		{"a new process", func() error {
			return newDeployer(t, deploy.Options{Config: config}).Prepare(t.Context(), keyOf(b.namespace), planOf(db, api))
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := b.secret("db-credentials"); got.ResourceVersion != first.ResourceVersion {
			t.Errorf("%s changes the credentials", step.name)
		}
	}
	if _, err := client(t, config).CoreV1().PersistentVolumeClaims(b.namespace).Get(t.Context(), "db-data", metav1.GetOptions{}); err != nil {
		t.Errorf("the volume went with the release: %v", err)
	}
	b.deploy(db) // with the volume that is there

	// Another port is another address for the same user, and who uses it changes.
	was := b.release(api).Fingerprint
	db.Workload.Ports[0].Number = 5433
	b.prepare(db, api)
	got := b.secret("db-credentials")
	if string(got.Data["password"]) != password || string(got.Data["url"]) != "postgresql://app:"+password+"@db:5433/app?sslmode=disable" {
		t.Error("the credentials do not follow the port with the same password")
	}
	if b.release(api).Fingerprint == was {
		t.Error("who uses the url stays unchanged")
	}
}
