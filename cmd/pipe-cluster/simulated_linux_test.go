package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestSimulated tests the whole life of a cluster with a simulated node.
func TestSimulated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() { pipeCluster(t, "down", "--dir", dir) })
	before := machine(t)

	c := up(t, dir, "--node", "simulated")
	s := c.status(t)
	if s.State != "running" || s.Node != "simulated" || s.Version != "v1.36.3" || s.Kubeconfig != dir+"/kubeconfig" || s.Server != c.config.Host {
		t.Errorf("status = %+v", s)
	}
	v, err := c.api.Discovery().ServerVersion()
	if err != nil || v.GitVersion != s.Version || v.Major != "1" || v.Minor != "36" {
		t.Errorf("the server says version %v, %v", v, err)
	}
	c.keep(t)
	simulatedPods(t, c)

	t.Run("up again attaches", func(t *testing.T) {
		pid := c.pid(t, "control-plane")
		c = up(t, dir) // its port may have been taken meanwhile
		if now := c.pid(t, "control-plane"); now != pid {
			t.Errorf("control plane %d became %d", pid, now)
		}
	})
	t.Run("up as JSON", func(t *testing.T) {
		var got started
		if err := json.Unmarshal([]byte(must(t, "up", "-o", "json", "--dir", dir)), &got); err != nil {
			t.Fatal(err)
		}
		if want := (started{Kubeconfig: dir + "/kubeconfig", Node: "simulated", Version: s.Version}); got != want {
			t.Errorf("up printed %+v, want %+v", got, want)
		}
	})
	t.Run("another kind of node is refused", func(t *testing.T) {
		_, errs, status := pipeCluster(t, "up", "--node", "real", "--dir", dir)
		want := fmt.Sprintf("pipe-cluster: %[1]s holds a cluster with a simulated node, and a real one was asked for: "+
			"end it first with `pipe-cluster down --dir %[1]s`\n", dir)
		if status != 1 || errs != want {
			t.Errorf("status %d, %q, want %q", status, errs, want)
		}
	})
	t.Run("kill the control plane", func(t *testing.T) {
		kill(t, c.pid(t, "control-plane"))
		eventually(t, "noticed", func(context.Context) error {
			if c.status(t).State != "broken" {
				return errors.New("not broken")
			}
			return nil
		})
		c = up(t, dir) // its port may have been taken meanwhile
		c.kept(t)
	})
	t.Run("kill the supervisor", func(t *testing.T) {
		child := c.pid(t, "control-plane")
		kill(t, c.pid(t, "supervisor"))
		eventually(t, "its child dies with it", func(context.Context) error {
			if syscall.Kill(child, 0) == nil {
				return errors.New("still there")
			}
			return nil
		})
		if s := c.status(t); s.State != "broken" || s.Why == "" {
			t.Errorf("status = %+v", s)
		}
		c = up(t, dir) // its port may have been taken meanwhile
		c.kept(t)
	})
	t.Run("kill everything at once", func(t *testing.T) {
		kill(t, c.pid(t, "control-plane"), c.pid(t, "supervisor"))
		c = up(t, dir) // its port may have been taken meanwhile
		c.kept(t)
	})
	t.Run("down keeps data if told to", func(t *testing.T) {
		must(t, "down", "--keep-data", "--dir", dir)
		if s := c.status(t); s.State != "stopped" {
			t.Errorf("status = %+v", s)
		}
		same(t, before)
		gone(t, dir)
		c = up(t, dir)
		c.kept(t)
	})
	t.Run("down after a kill", func(t *testing.T) {
		kill(t, c.pid(t, "supervisor"))
		must(t, "down", "--dir", dir)
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
		same(t, before)
		gone(t, dir)
	})
	must(t, "down", "--dir", dir) // without a cluster
}

// simulatedPods checks what a release needs: pods become Ready, Jobs complete, Services get endpoints,
// claims get volumes.
func simulatedPods(t *testing.T, c *cluster) {
	t.Helper()
	ctx, api := t.Context(), c.api
	const replicas = 200
	labels := map[string]string{"app": "web"}
	_, err := api.CoreV1().PersistentVolumeClaims("default").Create(ctx, claim("data"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(replicas)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					InitContainers: []corev1.Container{{Name: "init", Image: "none"}},
					Containers: []corev1.Container{{
						Name: "web", Image: "none",
						Resources:    corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}},
						VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
					}},
					Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
					}}},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.BatchV1().Jobs("default").Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "migrate"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "migrate", Image: "none"}},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Deployment is ready", func(ctx context.Context) error {
		d, err := api.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		if err == nil && d.Status.AvailableReplicas != replicas {
			err = fmt.Errorf("%d of %d replicas", d.Status.AvailableReplicas, replicas)
		}
		return err
	})
	eventually(t, "the Job is complete", func(ctx context.Context) error {
		j, err := api.BatchV1().Jobs("default").Get(ctx, "migrate", metav1.GetOptions{})
		if err == nil && j.Status.Succeeded != 1 {
			err = fmt.Errorf("%+v", j.Status)
		}
		return err
	})
	eventually(t, "the Service has its endpoints", func(ctx context.Context) error {
		slices, err := api.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
		if err != nil {
			return err
		}
		addresses := map[string]bool{}
		for _, s := range slices.Items {
			for _, e := range s.Endpoints {
				addresses[e.Addresses[0]] = true
			}
		}
		if len(addresses) != replicas {
			return fmt.Errorf("%d different addresses", len(addresses))
		}
		return nil
	})
	eventually(t, "the claim is bound", func(ctx context.Context) error {
		p, err := api.CoreV1().PersistentVolumeClaims("default").Get(ctx, "data", metav1.GetOptions{})
		if err == nil && p.Status.Phase != corev1.ClaimBound {
			err = fmt.Errorf("it is %s", p.Status.Phase)
		}
		return err
	})
}

func claim(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}},
		},
	}
}

// TestConcurrentUps: of several concurrent calls, one creates the cluster, and all return when it is
// usable.
func TestConcurrentUps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	t.Cleanup(func() { must(t, "down", "--dir", dir) })
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c := up(t, dir, "--node", "simulated")
			if _, err := c.api.CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestSeveralSimulated: each cluster has its own directory and ports.
func TestSeveralSimulated(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 2 {
		dir := filepath.Join(t.TempDir(), "cluster")
		t.Cleanup(func() { must(t, "down", "--dir", dir) })
		wg.Go(func() {
			c := up(t, dir, "--node", "simulated")
			name := fmt.Sprintf("of-%d", i)
			_, err := c.api.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			if err != nil {
				t.Error(err)
			}
			all, err := c.api.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
			if err != nil || len(all.Items) != 5 {
				t.Errorf("%d namespaces, %v, want 4 of Kubernetes and one of the test", len(all.Items), err)
			}
		})
	}
	wg.Wait()
}

func kill(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %d: %v", pid, err)
		}
	}
}
