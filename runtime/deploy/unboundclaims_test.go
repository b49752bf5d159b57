package deploy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// TestUnboundClaims checks what is reported about a pod that is not scheduled because its
// claim has no volume (D7).
func TestUnboundClaims(t *testing.T) {
	class := func(provisioner string, late bool) *storagev1.StorageClass {
		c := &storagev1.StorageClass{Provisioner: provisioner}
		if late {
			c.VolumeBindingMode = new(storagev1.VolumeBindingWaitForFirstConsumer)
		}
		return c
	}
	claim := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "c"},
			Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: new("fast")},
			Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
		}
		change(c)
		return c
	}
	const scheduler = "Unschedulable: 0/1 nodes are available"
	for _, test := range []struct {
		name  string
		claim *corev1.PersistentVolumeClaim
		class *storagev1.StorageClass // nil: not found
		event string
		want  string
	}{
		{"no class", claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = nil }), nil, "", "it names no storage class, and the cluster has no default one"},
		{"the empty class", claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("") }), nil, "", "it asks for a volume without a storage class, and none that fits is free"},
		{"class that does not exist", claim(func(*corev1.PersistentVolumeClaim) {}), nil, "", "its storage class fast does not exist"},
		{"nothing provisions", claim(func(*corev1.PersistentVolumeClaim) {}), class(noProvisioner, false), "", "nothing makes volumes of storage class fast, and none that fits is free"},
		{"provisioner is silent", claim(func(*corev1.PersistentVolumeClaim) {}), class("disk.example.org", false), "", "provisioner disk.example.org of storage class fast has not made a volume for it"},
		{"provisioner failed", claim(func(*corev1.PersistentVolumeClaim) {}), class("disk.example.org", true), "no space left", "ProvisioningFailed: no space left"},
		{"waits for a volume", claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv-1" }), nil, "", "it waits for volume pv-1"},
		{"lost", claim(func(c *corev1.PersistentVolumeClaim) {
			c.Status.Phase, c.Spec.VolumeName = corev1.ClaimLost, "pv-1"
		}), nil, "", "its volume pv-1 does not exist any more"},
		{"being deleted", claim(func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &metav1.Time{Time: time.Now()} }), nil, "", "it is being deleted"},
		{"waits for its pod", claim(func(*corev1.PersistentVolumeClaim) {}), class("disk.example.org", true), "", ""},
		{"bound", claim(func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimBound }), nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := testView(t, pending(), job())
				put(t, v, test.claim)
				if test.event != "" {
					e := &corev1.Event{
						ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "e"}, InvolvedObject: corev1.ObjectReference{UID: "c"},
						Type: corev1.EventTypeWarning, Reason: "ProvisioningFailed", Message: test.event,
					}
					if err := v.Index(observe.ClaimEvents).Add(e); err != nil {
						t.Fatal(err)
					}
				}
				w := newWait([]target{{kind: "Job", namespace: "ns", name: "api", uid: "j"}}, func(runtime.Body) {})
				w.caches["ns"] = v
				asked := 0
				w.class = func(string) (*storagev1.StorageClass, error) {
					asked++
					if test.class == nil {
						return nil, apierrors.NewNotFound(schema.GroupResource{}, "fast")
					}
					return test.class, nil
				}
				err := w.run(t.Context(), nil, within(time.Minute))
				stuck, ok := err.(*unready) //nolint:errorlint // it is not wrapped
				if !ok {
					t.Fatalf("error = %v, want an *unready", err)
				}
				if test.want == "" {
					if !strings.Contains(err.Error(), "(pod api-1: "+scheduler+")") || len(stuck.blocked[0].unbound) > 0 {
						t.Errorf("error = %v, %v; want what the scheduler says", err, stuck.blocked[0].unbound)
					}
					return
				}
				if want := "(pod api-1: its volume claim data is not bound: " + test.want + ")"; !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %s", err, want)
				}
				if open := stuck.blocked[0].unbound; len(open) != 1 || open[0].Name != "data" || open[0].Why != test.want {
					t.Errorf("unbound = %+v", open)
				}
				if asked > 7 {
					t.Errorf("the class was asked for %d times in a minute", asked)
				}
			})
		})
	}
}

// pending returns a pod of a job that is not scheduled and uses the claim data.
func pending() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: owned1("Job", "j", metav1.ObjectMeta{Namespace: "ns", Name: "api-1", UID: "p"})}
	p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}
	return p
}

// TestClaimVanishes checks that a pod whose claim is deleted is not awaited.
func TestClaimVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "c"}}
		v := testView(t, pending(), &batchv1.Job{ObjectMeta: named("j", 1)}, c)
		w := newWait([]target{{kind: "Job", namespace: "ns", name: "api", uid: "j"}}, func(runtime.Body) {})
		w.caches["ns"] = v
		changes := make(chan struct{}, 1)
		defer v.Read(changes)()
		begun := time.Now()
		go func() {
			time.Sleep(time.Second)
			drop(t, v, c)
		}()
		err := w.run(t.Context(), changes, within(time.Minute))
		if took := time.Since(begun); took != time.Second || err == nil || !strings.Contains(err.Error(), "its volume claim data is not bound: it was deleted") {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
