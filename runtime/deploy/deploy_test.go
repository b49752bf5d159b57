package deploy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

const testImage = "registry.test/shop/api@sha256:0000000000000000000000000000000000000000000000000000000000000001"

func client(t testing.TB, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var namespaces atomic.Int64

// namespace returns the name of a namespace that is deleted at the end of the test.
func namespace(t testing.TB, config *rest.Config) string {
	t.Helper()
	name := fmt.Sprintf("deploy-%d-%d", time.Now().UnixNano()%1e9, namespaces.Add(1))
	t.Cleanup(func() { deleteNamespace(client(t, config), name) })
	return name
}

// keyOf returns an environment whose namespace is namespace.
func keyOf(namespace string) runtime.EnvironmentKey {
	i := strings.LastIndexByte(namespace, '-')
	return runtime.EnvironmentKey{Pipeline: namespace[:i], Name: namespace[i+1:]}
}

// releaseIn returns a release of an environment, without its fingerprint.
func releaseIn(namespace string, s plan.Service) runtime.Release {
	key := keyOf(namespace)
	r := runtime.Release{Pipeline: key.Pipeline, Environment: key.Name, Namespace: namespace, Service: s, Image: testImage}
	for _, im := range s.Images {
		if r.Images == nil {
			r.Images = make(map[string]string)
		}
		r.Images[im.Name] = testImage
	}
	return r
}

// deleteNamespace deletes a namespace in the background, if it exists.
func deleteNamespace(c kubernetes.Interface, name string) {
	background := metav1.DeletePropagationBackground
	_ = c.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{PropagationPolicy: &background})
}

func newDeployer(t testing.TB, opts deploy.Options) *deploy.Deployer {
	t.Helper()
	if opts.CacheDir == "" {
		opts.CacheDir = t.TempDir()
	}
	if opts.Render.Executable == "" {
		opts.Render.Executable = os.Args[0] // see testenv.Main
	}
	d, err := deploy.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// container returns a service that becomes ready on a simulated node.
func container(name string) plan.Service {
	return plan.Service{
		Name: name, Type: plan.Container, Timeout: plan.Duration(2 * time.Minute),
		Workload: plan.Workload{
			Replicas: 1,
			Ports:    []plan.Port{{Number: 80, Name: "port-80", Protocol: "TCP"}},
			Health:   &plan.Health{Kind: plan.HealthTCP, Port: 80},
		},
	}
}

func TestDeployer(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	runtimetest.TestDeployer(t, runtimetest.DeployerTest{
		Deployer: newDeployer(t, deploy.Options{Config: config}),
		Pipeline: func(t *testing.T) string {
			pipeline := runtimetest.Unique("contract")
			t.Cleanup(func() { deleteNamespace(client(t, config), pipeline+"-a-test") })
			return pipeline
		},
		Service: func(_ *testing.T, name, variant string) (plan.Service, string) {
			s := container(name)
			s.Workload.Env = []plan.EnvVar{{Name: "VARIANT", Value: variant}}
			return s, testImage
		},
		Naming: func(_ *testing.T, name string, images ...string) plan.Service {
			var containers []any
			for i, ref := range images {
				containers = append(containers, map[string]any{"name": fmt.Sprint("c", i), "image": ref})
			}
			labels := map[string]any{"app": name}
			return plan.Service{Name: name, Type: plan.Manifests, Timeout: plan.Duration(2 * time.Minute), MirrorImages: true, Manifests: []plan.ManifestSource{{Object: plan.Values{
				"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name},
				"spec": map[string]any{
					"selector": map[string]any{"matchLabels": labels},
					"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": containers}},
				},
			}}}}
		},
		Refused: func(_ *testing.T, name string) (before, after plan.Service, image string) {
			of := func(size string) plan.Service {
				s := container(name)
				s.Workload.Volumes = []plan.Volume{{Name: "data", Path: "/data", Size: size}}
				return s
			}
			return of("2Gi"), of("1Gi"), testImage // a claim cannot shrink
		},
		SetSecret: func(t *testing.T, key runtime.EnvironmentKey, name string, keys ...string) {
			data := make(map[string]string)
			for _, key := range keys {
				data[key] = "4711-" + key
			}
			setSecret(t, config, key.Namespace(), name, data)
		},
		Broken: func(_ *testing.T, name string) (plan.Service, string) {
			s := container(name)
			s.Values = map[string]any{"serviceAccount": map[string]any{"create": false, "name": "nobody"}}
			return s, testImage
		},
	})
}

var discard = func(runtime.Body) {}

// contains fails the test unless text contains all parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// foreignService is a Service that does not belong to a release.
func foreignService(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}
}

// chartDir returns a directory with the chart that is generated for a service.
func chartDir(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := chart.Write(filepath.Join(dir, name), container(name)); err != nil {
		t.Fatal(err)
	}
	return dir
}
