package buildkit

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// TestCrashedAgain: another Up does not wait until the kubelet starts a builder again that has crashed. It deletes its
// own pods only, and the simulated node makes the new one ready.
func TestCrashedAgain(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	small := func(o *Options) { o.CPU, o.Memory = "10m", "16Mi" }
	if err := up(t, f, small); err != nil {
		t.Fatal(err)
	}
	pods := f.client.CoreV1().Pods(f.namespace)
	ours, err := pods.Get(t.Context(), "buildkit-0", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: ours.Labels}, Spec: corev1.PodSpec{
		NodeName: ours.Spec.NodeName, Containers: []corev1.Container{{Name: "buildkit", Image: "example.com/other:1"}},
	}}
	if _, err := pods.Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	crash := func(name string) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) { // the node also writes it
			p, err := pods.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			if backsOff(p) {
				return true, nil
			}
			if p.Status.Phase != corev1.PodRunning {
				return false, nil
			}
			status := crashed(9)
			status.Name = "buildkit"
			p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
			_, _ = pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
			return false, nil
		}
	}
	noticed := func(ctx context.Context) (bool, error) {
		set, err := f.set(ctx)
		return err == nil && set.Status.ReadyReplicas == 0, err
	}
	for _, until := range []wait.ConditionWithContextFunc{crash("buildkit-0"), crash("other"), noticed} {
		if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, until); err != nil {
			t.Fatal(err)
		}
	}
	if err := up(t, f, same); err != nil {
		t.Fatalf("Up after the builder has crashed: %v", err)
	}
	now, err := pods.Get(t.Context(), "buildkit-0", metav1.GetOptions{})
	if err != nil || now.UID == ours.UID {
		t.Errorf("the builder was not replaced: %v", err)
	}
	if p, err := pods.Get(t.Context(), "other", metav1.GetOptions{}); err != nil || p.DeletionTimestamp != nil {
		t.Errorf("a pod of others was deleted: %v", err)
	}
}
