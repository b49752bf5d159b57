package deploy_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestDisks: services that share a disk become ready, with an empty directory and with a
// claim that exists; what cannot be changed about a disk is an error; the disk is deleted
// with the environment, and the claim that exists is not (D11).
func TestDisks(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	claims := client(t, config).CoreV1().PersistentVolumeClaims(b.namespace)
	existing := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "media"}}
	existing.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	size := func(name string) string {
		t.Helper()
		c, err := claims.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		q := c.Spec.Resources.Requests[corev1.ResourceStorage]
		return q.String()
	}
	disk := plan.Mount{Claim: "uploads", Path: "/srv", Disk: &plan.Disk{Size: "1Gi"}}
	web, worker := container("web"), container("worker")
	web.Workload.Mounts = []plan.Mount{disk}
	web.Workload.Scratch = []plan.Scratch{{Path: "/tmp"}, {Path: "/dev/shm", Size: "64Mi", Memory: true}}
	web.Workload.Env = []plan.EnvVar{
		{Name: "IP", EnvSource: plan.EnvSource{Field: "status.podIP"}}, {Name: "MEMORY", EnvSource: plan.EnvSource{Field: "limits.memory"}},
	}
	disk.ReadOnly = true
	worker.Workload.Mounts = []plan.Mount{disk}
	b.prepare(web, worker)
	existing.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	_, err := claims.Create(t.Context(), existing, metav1.CreateOptions{})
	must(t, err)
	worker.Workload.Mounts = append(worker.Workload.Mounts, plan.Mount{Claim: "media", Path: "/media"})
	b.deploy(web)
	b.deploy(worker)
	contains(t, b.template("web"), `"claimName":"uploads"`, `"medium":"Memory","sizeLimit":"64Mi"`, `"emptyDir":{}`, `"fieldPath":"status.podIP"`, `"resource":"limits.memory"`)
	contains(t, b.template("worker"), `"claimName":"media"`, `"readOnly":true`)
	if got := size("uploads"); got != "1Gi" {
		t.Errorf("the disk has %s", got)
	}

	refused := func(want string, m plan.Mount) {
		t.Helper()
		s := container("web")
		s.Workload.Mounts = []plan.Mount{m}
		if err := b.Prepare(t.Context(), keyOf(b.namespace), planOf(s)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Prepare = %v, want %q", err, want)
		}
	}
	refused("cannot shrink to 512Mi", plan.Mount{Claim: "uploads", Path: "/srv", Disk: &plan.Disk{Size: "512Mi"}})
	refused("its access mode is [ReadWriteOnce] and cannot be changed to [ReadWriteMany]", plan.Mount{Claim: "uploads", Path: "/srv", Access: plan.ReadWriteMany, Disk: &plan.Disk{Size: "1Gi"}})
	refused(`pipe did not create it: write existing_volume("media")`, plan.Mount{Claim: "media", Path: "/srv", Disk: &plan.Disk{Size: "1Gi"}})
	b.prepare(web, worker) // nothing changes

	for _, s := range []plan.Service{web, worker} {
		must(t, b.Act(t.Context(), runtime.Delete, b.release(s), discard))
	}
	must(t, b.Remove(t.Context(), keyOf(b.namespace), nil, false, discard))
	if _, err := claims.Get(t.Context(), "uploads", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after the environment was deleted, the disk is there: %v", errors.Unwrap(err))
	}
}
