package buildkit

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// newFarm returns the builders of a namespace that does not exist, and is deleted after the test.
func newFarm(t *testing.T) *Farm {
	t.Helper()
	f, err := Open(testenv.Cluster(t), fmt.Sprintf("builders-%s-%d", strings.ToLower(t.Name()), time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.client.CoreV1().Namespaces().Delete(context.Background(), f.namespace, metav1.DeleteOptions{})
	})
	return f
}

func up(t *testing.T, f *Farm, change func(*Options)) error {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	return f.Up(ctx, change, func(text string) { t.Log(text) })
}

func same(*Options) {}

// versions returns the versions of all objects that Up writes, by name.
func (f *Farm) versions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	objects, err := Defaults().objects(f.namespace, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range objects {
		found, err := f.of(u).Get(t.Context(), u.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all[u.GetKind()] = string(found.GetUID()) + " " + found.GetResourceVersion()
		if u.GetKind() == "StatefulSet" { // its status changes by itself
			all[u.GetKind()] = string(found.GetUID())
			all["generation"] = string(rune('0' + found.GetGeneration()))
		}
	}
	for _, name := range []string{secretAuthority, secretServer, secretClient} {
		secret, err := f.secret(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = secret.ResourceVersion
	}
	return all
}

// changed returns the names whose versions differ.
func changed(before, after map[string]string) (names []string) {
	for name := range after {
		if before[name] != after[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestUp creates builders, changes them, and removes them. A real API server accepts the objects
// strictly; its simulated node makes the pods ready.
func TestUp(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	var missing *MissingError
	if _, err := f.Status(t.Context()); !errors.As(err, &missing) {
		t.Fatalf("Status = %v, want a MissingError", err)
	}
	if err := up(t, f, func(o *Options) { o.Replicas, o.Storage, o.CPU, o.Memory = 2, "60Gi", "100m", "64Mi" }); err != nil {
		t.Fatal(err)
	}
	s, err := f.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Builders) != 2 || !s.Builders[0].Ready || s.Builders[1].Name != "buildkit-1" || s.Image != image || s.Renew || s.Options.Storage != "60Gi" {
		t.Errorf("Status = %+v", s)
	}
	before := f.versions(t)
	if err := up(t, f, same); err != nil {
		t.Fatal(err)
	}
	if got := changed(before, f.versions(t)); got != nil {
		t.Errorf("the second Up has changed %q", got)
	}
	if err := up(t, f, func(o *Options) { o.Memory = "128Mi" }); err != nil {
		t.Fatal(err)
	}
	if got := changed(before, f.versions(t)); !slices.Equal(got, []string{"generation"}) {
		t.Errorf("Up with other memory has changed %q", got)
	}
	if s, err = f.Status(t.Context()); err != nil || s.Options.Replicas != 2 || s.Options.CPU != "100m" || s.Options.Memory != "128Mi" {
		t.Errorf("Status = %+v, %v: want the other options as before", s, err)
	}
	if err := up(t, f, func(o *Options) { o.Storage = "100Gi" }); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
		t.Errorf("Up with another size = %v", err)
	}

	ready, err := f.Ready(t.Context())
	if err != nil || len(ready) != 2 || ready[0].Name != "buildkit-0" || ready[0].CPU != 0.1 || ready[0].Memory != 128<<20 {
		t.Errorf("Ready = %+v, %v", ready, err)
	}

	if kept, err := f.Down(t.Context(), false); err != nil || kept != "" {
		t.Fatal(kept, err)
	}
	if err := up(t, f, func(o *Options) { o.Storage = "100Gi" }); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
		t.Errorf("Up with another size than that of the caches = %v", err)
	}
	if o, err := f.options(t.Context(), same); err != nil || o.Storage != "60Gi" || o.CPU != "4" {
		t.Errorf("the options of new builders with the caches are %+v, %v", o, err)
	}
	if _, err := f.Ready(t.Context()); !errors.As(err, &missing) {
		t.Errorf("Ready after Down = %v, want a MissingError", err)
	}
	going, err := f.Going(t.Context())
	if err != nil || len(going.Caches) != 2 {
		t.Errorf("Going = %+v, %v, want the caches", going, err)
	}
	if _, err := f.client.CoreV1().ConfigMaps(f.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if kept, err := f.Down(t.Context(), true); err != nil || kept != "pipe has not created all that is in it: configmap mine" {
		t.Errorf("Down = %q, %v, want that the namespace is kept", kept, err)
	}
	if err := f.client.CoreV1().ConfigMaps(f.namespace).Delete(t.Context(), "mine", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if kept, err := f.Down(t.Context(), true); err != nil || kept != "" {
		t.Errorf("Down = %q, %v", kept, err)
	}
	n, err := f.client.CoreV1().Namespaces().Get(t.Context(), f.namespace, metav1.GetOptions{})
	if err == nil && n.DeletionTimestamp == nil || err != nil && !apierrors.IsNotFound(err) {
		t.Errorf("the namespace is left: %v", err)
	}
}

// TestUpVariants: the API server accepts all variants strictly.
func TestUpVariants(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	if err := f.createNamespace(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, o := range variants() {
		objects, err := o.objects(f.namespace, "sha256:0")
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range objects {
			_, err := f.of(u).Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
			if err != nil {
				t.Errorf("%s: %s: %v", name, u.GetKind(), err)
			}
		}
	}
}

// TestForeign: objects of others are neither changed nor deleted, nor is the namespace of an
// environment used.
func TestForeign(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	if err := f.createNamespace(t.Context()); err != nil {
		t.Fatal(err)
	}
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: Name}}
	if _, err := f.client.NetworkingV1().NetworkPolicies(f.namespace).Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretClient}}
	if _, err := f.client.CoreV1().Secrets(f.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var foreign *ForeignError
	if err := up(t, f, same); !errors.As(err, &foreign) || !slices.Equal(foreign.Objects, []string{"networkpolicy buildkit", "secret buildkit-client"}) {
		t.Errorf("Up = %v, want a ForeignError with both objects", err)
	}
	if _, err := f.Down(t.Context(), true); err != nil {
		t.Errorf("Down = %v", err)
	}
	if _, err := f.client.NetworkingV1().NetworkPolicies(f.namespace).Get(t.Context(), Name, metav1.GetOptions{}); err != nil {
		t.Errorf("the policy of others is gone: %v", err)
	}

	n, err := f.client.CoreV1().Namespaces().Get(t.Context(), f.namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Labels[runtime.LabelPipeline], n.Labels[runtime.LabelEnvironment] = "shop", "staging"
	if _, err := f.client.CoreV1().Namespaces().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := f.createNamespace(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to environment staging of pipeline shop") {
		t.Errorf("createNamespace = %v", err)
	}
}

// TestNamespaceGoing: builders are not created in a namespace that is being deleted.
func TestNamespaceGoing(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	client := f.client.CoreV1().Namespaces()
	n, err := client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace, Finalizers: []string{"pipelinefile.github.io/test"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(t.Context(), f.namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := up(t, f, same); err == nil || err.Error() != "namespace "+f.namespace+" is being deleted" {
		t.Errorf("Up = %v, want that the namespace is being deleted", err)
	}
	// It may also be deleted after Up has looked at it; the status of that error is forbidden, too.
	err = f.apply(t.Context(), Defaults(), "")
	if advice, _ := runtime.AdviceOf(err); err == nil || !strings.Contains(advice.Do, "when the namespace is gone") {
		t.Errorf("apply = %v, %q, want the advice to wait", err, advice.Do)
	}
	if _, err = client.Patch(t.Context(), n.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestPodsRefused: Up says soon that the cluster refuses the pods, here because of the pod security standard.
func TestPodsRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	_, err := f.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: f.namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var failed *NotReadyError
	if err := f.Up(t.Context(), same, func(text string) { t.Log(text) }); !errors.As(err, &failed) || len(failed.Builders) > 0 || !strings.HasSuffix(err.Error(), ": there are no pods") {
		t.Errorf("Up = %v, want that there are no pods", err)
	}
}

// TestCertify: certificates are kept until they expire soon, and what was left by an interrupted
// Up is replaced.
func TestCertify(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	if err := f.createNamespace(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	certify := func(at time.Time) (digest string, versions string) {
		digest, err := f.certify(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{secretAuthority, secretServer, secretClient} {
			secret, err := f.secret(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			versions += secret.ResourceVersion + " "
		}
		return digest, versions
	}
	first, versions := certify(now)
	if digest, v := certify(now.Add(300 * 24 * time.Hour)); digest != first || v != versions {
		t.Errorf("after 300 days the certificates are renewed: %s, %s", digest, v)
	}
	renewed, v := certify(now.Add(306 * 24 * time.Hour))
	if renewed == first || strings.Fields(v)[0] != strings.Fields(versions)[0] {
		t.Errorf("after 306 days: %s, %s, want other certificates of the same authority", renewed, v)
	}
	if _, later := certify(now.Add(9*365*24*time.Hour + 48*time.Hour)); strings.Fields(later)[0] == strings.Fields(v)[0] {
		t.Error("an authority that what it signs would outlive is kept")
	}
	client, err := f.secret(t.Context(), secretClient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientConfig(f.namespace, client.Data, now.Add(20*365*24*time.Hour)); !errors.As(err, new(*ExpiredError)) {
		t.Errorf("clientConfig = %v, want an ExpiredError", err)
	}
	// As if Up had been killed after it had written another authority.
	if err := f.client.CoreV1().Secrets(f.namespace).Delete(t.Context(), secretAuthority, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.authority(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	certify(now)
	authority, err := f.authority(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, usage := range map[string]x509.ExtKeyUsage{secretServer: x509.ExtKeyUsageServerAuth, secretClient: x509.ExtKeyUsageClientAuth} {
		secret, err := f.secret(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if !parsePair(secret.Data[fileCertificate], secret.Data[fileKey]).good(authority, usage, now) {
			t.Errorf("%s is not signed by the authority", name)
		}
	}
}

// TestImages: the images, and the programs that tests run, are of the version of BuildKit that is
// compiled into pipe.
func TestImages(t *testing.T) {
	versionIn := func(file string) string {
		mod, err := os.ReadFile(filepath.Join("../../..", file))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(mod), "github.com/moby/buildkit v")
		return "v" + strings.Fields(rest)[0]
	}
	version := versionIn("go.mod")
	if tested := versionIn("tools/buildkit/go.mod"); tested != version {
		t.Errorf("the tests run BuildKit %s in a cluster, and go.mod has %s", tested, version)
	}
	for ref, tag := range map[string]string{image: version, imageRootless: version + "-rootless"} {
		if !strings.HasPrefix(ref, "docker.io/moby/buildkit:"+tag+"@sha256:") {
			t.Errorf("the image %s is not of %s", ref, tag)
		}
	}
}

// TestCheck tests options that are refused.
func TestCheck(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"the number of builders is 0: it must be at least 1":                                 func(o *Options) { o.Replicas = 0 },
		`the size of the cache is "much": it must be a quantity such as 50Gi`:                func(o *Options) { o.Storage = "much" },
		"the size of the cache is 5M: it must be at least 1G":                                func(o *Options) { o.Storage = "5M" },
		`the CPUs of a build is "-1": it must be a quantity such as 4`:                       func(o *Options) { o.CPU = "-1" },
		"the CPUs of a build are 1e30: there may be at most 1000":                            func(o *Options) { o.CPU = "1e30" },
		`the memory of a build is "4 GiB": it must be a quantity such as 4Gi`:                func(o *Options) { o.Memory = "4 GiB" },
		"the image must be a reference such as registry.example.com/mirror/buildkit:v0.33.1": func(o *Options) { o.Image = "https://me:secret@x" },
	} {
		o := Defaults()
		change(&o)
		if err := o.Check(); err == nil || err.Error() != want {
			t.Errorf("Check = %v, want %s", err, want)
		}
	}
}

// TestRefused: what the server refuses is found before anything is written, and Down removes what
// an Up has left that did not get any further.
func TestRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	if err := up(t, f, func(o *Options) { o.StorageClass = "a: b" }); err == nil || !strings.Contains(err.Error(), "storageClassName") {
		t.Errorf("Up = %v, want that the class is invalid", err)
	}
	secrets, err := f.client.CoreV1().Secrets(f.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(secrets.Items) > 0 {
		t.Errorf("after Up was refused, there are %d Secrets, %v", len(secrets.Items), err)
	}
	if _, err := f.certify(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if going, err := f.Going(t.Context()); err != nil || len(going.Builders)+len(going.Caches) > 0 {
		t.Errorf("Going = %+v, %v", going, err)
	}
	if kept, err := f.Down(t.Context(), true); err != nil || kept != "" {
		t.Errorf("Down = %q, %v", kept, err)
	}
}
