package deploy_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// withData returns a plan with a database, and a service with a volume that uses it.
func withData(key runtime.EnvironmentKey) *plan.Plan {
	db := container("db")
	db.Type, db.Workload.Database = plan.Database, &plan.DatabaseSpec{Engine: "postgresql", Version: "17", Storage: "1Gi"}
	api := container("api")
	api.Workload.Volumes = []plan.Volume{{Name: "cache", Path: "/cache", Size: "1Gi"}}
	api.Workload.Env = []plan.EnvVar{{Name: "DATABASE_URL", Secret: &plan.SecretRef{Service: "db", Key: "url"}}}
	return &plan.Plan{
		Pipeline: plan.Pipeline{Name: key.Pipeline}, Environment: plan.EnvironmentRef{Name: key.Name},
		Services: []plan.Service{db, api},
	}
}

// TestRemove: the namespace of an environment is deleted after its releases if pipe created
// it and it has no objects of others; what is kept is reported.
func TestRemove(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	for _, test := range []struct {
		name        string
		before      func(t *testing.T, namespace string) // called before pipe deploys
		then        func(t *testing.T, namespace string) // called before it removes
		keepVolumes bool
		want        string   // why the namespace is kept; empty: it is deleted
		left        []string // volumes and secrets
	}{
		{name: "all"},
		{name: "volumes kept", keepVolumes: true, want: "its volumes are to be kept", left: []string{"api-cache", "db-credentials", "db-data"}},
		{name: "not ours", want: "pipe did not make it", before: func(t *testing.T, namespace string) {
			createNamespace(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		}},
		{name: "foreign objects", want: "pipe did not make all that is in it: configmap theirs, secret given, serviceaccount robot; to delete all of it, with its data: kubectl delete namespace ", left: []string{"given"}, then: func(t *testing.T, namespace string) {
			in := metav1.ObjectMeta{Namespace: namespace}
			in.Name = "theirs"
			_, err := c.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: in}, metav1.CreateOptions{})
			must(t, err)
			in.Name = "given"
			_, err = c.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: in}, metav1.CreateOptions{})
			must(t, err)
			in.Name = "robot"
			_, err = c.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: in}, metav1.CreateOptions{})
			must(t, err)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("remove"), Name: "dev"}
			namespace := key.Namespace()
			t.Cleanup(func() { deleteNamespace(c, namespace) })
			if test.before != nil {
				test.before(t, namespace)
			}
			d := newDeployer(t, deploy.Options{Config: config})
			p := withData(key)
			must(t, d.Prepare(t.Context(), key, p))
			var releases []runtime.Release
			for _, s := range p.Services {
				r := runtime.Release{Pipeline: key.Pipeline, Environment: key.Name, Namespace: namespace, Service: s, Image: testImage}
				var err error
				r.Fingerprint, err = d.Fingerprint(t.Context(), r)
				must(t, err)
				if err := d.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
					t.Fatal(explained(err))
				}
				releases = append(releases, r)
			}
			if test.then != nil {
				test.then(t, namespace)
			}
			for _, r := range releases {
				must(t, d.Act(t.Context(), runtime.Delete, r, discard))
			}
			if got := dataIn(t, c, namespace); !slices.Contains(got, "api-cache") || !slices.Contains(got, "db-credentials") {
				t.Errorf("the volumes went with the releases: %v", got)
			}
			told := ""
			must(t, d.Remove(t.Context(), key, nil, test.keepVolumes, func(b runtime.Body) {
				if w, ok := b.(runtime.Warned); ok {
					told += w.Diagnostic.Message
				}
			}))
			_, err := c.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
			if gone := apierrors.IsNotFound(err); gone != (test.want == "") || err != nil && !gone {
				t.Errorf("the namespace: %v", err)
			}
			if want := "namespace " + namespace + " is kept: " + test.want; test.want == "" && told != "" || test.want != "" && !strings.HasPrefix(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
			if got := dataIn(t, c, namespace); !slices.Equal(got, test.left) {
				t.Errorf("left %v, want %v", got, test.left)
			}
			// A repetition is harmless, and everything can be recreated afterwards.
			must(t, d.Remove(t.Context(), key, nil, test.keepVolumes, discard))
			must(t, d.Prepare(t.Context(), key, p))
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func createNamespace(t *testing.T, c kubernetes.Interface, n *corev1.Namespace) {
	t.Helper()
	_, err := c.CoreV1().Namespaces().Create(t.Context(), n, metav1.CreateOptions{})
	must(t, err)
}

// dataIn returns the volumes and the secrets in a namespace, without those of Helm.
func dataIn(t *testing.T, c kubernetes.Interface, namespace string) []string {
	t.Helper()
	var names []string
	claims, err := c.CoreV1().PersistentVolumeClaims(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, o := range claims.Items {
		names = append(names, o.Name)
	}
	secrets, err := c.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner!=helm"})
	must(t, err)
	for _, o := range secrets.Items {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return names
}
