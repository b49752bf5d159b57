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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

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

// TestSecrets checks the sources of values, that a change of a value replaces the pods that
// use it, and that values are stored only in their Secrets (D4).
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
		r := b2.release(service) // the same as in a preview
		b2.prepare(s, other)
		if again := b2.release(service); again.Fingerprint != r.Fingerprint {
			t.Errorf("%s: a preview says something else than a run", name)
		}
		if got := b2.deployed(name).Fingerprint == r.Fingerprint; got != want {
			t.Errorf("%s is unchanged: %v, want %v", name, got, want)
		}
	}
	same(from, "api", true)
	same(source{}, "api", true) // the cluster keeps a value that was given once

	// A changed value changes only the services that use it.
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

	// The values are not stored in releases or other objects.
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

// setSecret creates a Secret, or adds to the existing one.
func setSecret(t *testing.T, config *rest.Config, namespace, name string, data map[string]string) {
	t.Helper()
	secrets := client(t, config).CoreV1().Secrets(namespace)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	_, err := secrets.Create(t.Context(), s, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if s, err = secrets.Get(t.Context(), name, metav1.GetOptions{}); err == nil {
			s.StringData = data
			_, err = secrets.Update(t.Context(), s, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		t.Errorf("make Secret %s: %v", name, err)
	}
}

// TestMissingSecrets checks that everything that is missing is reported by Secret, with one
// command for all of its keys, and that keys that can never be created are reported
// separately.
func TestMissingSecrets(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config, Secrets: source{"given": "4711-given"}})
	for name, data := range map[string]map[string]string{
		"several": {"a": "4711-a", "b": "4711-b"},
		"empty":   nil,
	} {
		setSecret(t, config, b.namespace, name, data)
	}
	var services []plan.Service
	for i := range 16 {
		services = append(services, using(container(fmt.Sprintf("api-%d", i)), "KEY", plan.SecretRef{Name: "none", Key: "key"}))
	}
	api := container("api")
	for i, ref := range []plan.SecretRef{
		{Name: "given"}, {Name: "NONE", Key: "other"}, {Name: "several"}, {Name: "several", Key: "c"}, {Name: "several", Key: "b"}, {Name: "empty"},
		{Name: "db-credentials", Key: "database"}, {Name: "db-credentials", Key: "pass"}, {Service: "db", Key: "url"},
	} {
		api = using(api, fmt.Sprintf("V%d", i), ref)
	}
	services = append(services, api, database("db"))
	names := []string{"api-0", "api-1", "api-2", "api-3", "api-4", "api-5", "api-6", "api-7", "api-8", "api-9", "api-10", "api-11", "api-12", "api-13", "api-14", "api-15", "api"}
	kubectl := "kubectl --namespace " + b.namespace
	want := []runtime.MissingSecret{
		{
			Name: "db-credentials", Keys: []string{"pass"}, Has: []string{"database", "host", "password", "port", "url", "user"}, Services: []string{"api"},
			Never: "Secret db-credentials has no key pass: pipe makes it for database db, with the keys database, host, password, port, url, user",
		},
		{Name: "empty", Keys: []string{"value"}, Has: []string{}, Services: []string{"api"}, Make: kubectl + ` patch secret empty --patch '{"stringData":{"value":"VALUE"}}'`},
		{Name: "none", Keys: []string{"key", "other"}, Services: names, Make: kubectl + " create secret generic none --from-literal=key=VALUE --from-literal=other=VALUE"},
		{Name: "several", Keys: []string{"c"}, Has: []string{"a", "b"}, Services: []string{"api"}, Make: kubectl + ` patch secret several --patch '{"stringData":{"c":"VALUE"}}'`},
		{
			Name: "several", Keys: []string{"value"}, Has: []string{"a", "b"}, Services: []string{"api"},
			Never: "Secret several of namespace " + b.namespace + ` has the keys a, b: name one with secret("several", key = …)`,
		},
	}
	told := func() {
		t.Helper()
		got, err := b.MissingSecrets(t.Context(), keyOf(b.namespace), planOf(services...))
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("MissingSecrets (-want +got):\n%s", diff)
		}
	}
	told() // like a preview, before anything is created
	b.prepare(services...)
	told()

	// The commands create what is missing.
	for _, m := range want {
		if m.Make != "" {
			follow(t, config, m.Make)
		}
	}
	want = []runtime.MissingSecret{want[0], want[4]}
	want[1].Has = []string{"a", "b", "c"}
	want[1].Never = strings.ReplaceAll(want[1].Never, "a, b", "a, b, c")
	b.prepare(services...)
	told()

	// An unreadable source does not mean that the secret is missing.
	broken := errors.New("vault is sealed")
	d := newDeployer(t, deploy.Options{Config: config, Secrets: failing{broken}})
	if _, err := d.MissingSecrets(t.Context(), keyOf(b.namespace), planOf(services...)); !errors.Is(err, broken) {
		t.Errorf("MissingSecrets = %v, want %v", err, broken)
	}
	if err := d.Prepare(t.Context(), keyOf(b.namespace), planOf(services...)); !errors.Is(err, broken) {
		t.Errorf("Prepare = %v, want %v", err, broken)
	}
}

// follow does the same as kubectl with a command of MissingSecrets.
func follow(t *testing.T, config *rest.Config, command string) {
	t.Helper()
	words := strings.SplitN(command, " ", 8) // kubectl --namespace NS VERB …
	secrets := client(t, config).CoreV1().Secrets(words[2])
	switch words[3] {
	case "create": // secret generic NAME --from-literal=KEY=VALUE …
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: words[6]}, StringData: map[string]string{}}
		for _, word := range strings.Fields(words[7]) {
			key, value, _ := strings.Cut(strings.TrimPrefix(word, "--from-literal="), "=")
			s.StringData[key] = value
		}
		_, err := secrets.Create(t.Context(), s, metav1.CreateOptions{})
		must(t, err)
	case "patch": // secret NAME --patch 'JSON'
		_, err := secrets.Patch(t.Context(), words[5], types.StrategicMergePatchType, []byte(strings.Trim(words[7], "'")), metav1.PatchOptions{})
		must(t, err)
	default:
		t.Fatalf("what is %q?", command)
	}
}

// TestSecretOfAnother: a Secret that pipe did not create and whose value differs from that of
// the source is an error before anything is written.
func TestSecretOfAnother(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config, Secrets: source{"given": "4711-given", "taken": "4711-other"}})
	setSecret(t, config, b.namespace, "taken", map[string]string{"value": "4711-mine"})
	api := using(using(container("api"), "V0", plan.SecretRef{Name: "given"}), "V1", plan.SecretRef{Name: "taken"})
	err := b.Prepare(t.Context(), keyOf(b.namespace), planOf(api, database("db")))
	want := "secret taken: Secret taken of namespace " + b.namespace + " was not made by pipe, and its key value is not what the source of secrets gives: " +
		"leave the secret out of the source to use the Secret as it is; or, to lose what is in it: kubectl --namespace " + b.namespace + " delete secret taken"
	if err == nil || err.Error() != want {
		t.Errorf("Prepare = %v, want %s", err, want)
	}
	list, err := client(t, config).CoreV1().Secrets(b.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("%d Secrets after an error, want the one of before: %v", len(list.Items), err)
	}

	// Credentials of a database that pipe did not create are completed if requested, and keep
	// their password, which is needed to read the data.
	setSecret(t, config, b.namespace, "db-credentials", map[string]string{"user": "ana", "password": "4711-old"})
	err = b.Prepare(t.Context(), keyOf(b.namespace), planOf(database("db")))
	key := keyOf(b.namespace)
	label := "kubectl --namespace " + b.namespace + " label secret db-credentials pipelinefile.github.io/environment=" + key.Name + " pipelinefile.github.io/pipeline=" + key.Pipeline
	if err == nil || !strings.HasSuffix(err.Error(), "what it has of database, host, port, url is not what is needed: to let pipe set that, and keep the rest: "+label) {
		t.Fatalf("Prepare = %v, want the end %s", err, label)
	}
	secret := b.secret("db-credentials")
	secret.Labels = key.Labels()
	_, err = client(t, config).CoreV1().Secrets(b.namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
	must(t, b.Prepare(t.Context(), key, planOf(database("db"))))
	if got := b.secret("db-credentials").Data; string(got["password"]) != "4711-old" || !strings.HasPrefix(string(got["url"]), "postgresql://ana:4711-old@db:") {
		t.Errorf("the credentials are not those of before, completed")
	}
}

type failing struct{ err error }

func (f failing) Secret(context.Context, plan.SecretRef) (runtime.Secret, error) {
	return runtime.Secret{}, f.err
}

// TestCredentials checks that the credentials of a database are created once and survive all
// actions on its release, like its volume (D6).
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
		{"stop", func() error { return b.Act(t.Context(), runtime.Stop, r, discard) }},
		{"delete", func() error { return b.Act(t.Context(), runtime.Delete, r, discard) }},
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
	b.deploy(db) // with the existing volume

	// Another port changes the address for the same user, and the services that use it.
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
