package observe

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestRemembered checks that a cache does not keep short-lived objects forever.
func TestRemembered(t *testing.T) {
	v := NewFixed()
	t.Cleanup(v.Stop)
	of := func(kind, uid string) *corev1.Pod {
		yes := true
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			UID: types.UID(uid), OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: "api", UID: "x", Controller: &yes}},
		}}
	}
	v.Deleted("Pod", of("ReplicaSet", "web"))
	for i := range 2 * remembered {
		v.Deleted("Pod", of("Job", string(rune(i))))
	}
	if len(v.last) != remembered || len(v.order) != remembered {
		t.Errorf("the cache keeps %d objects, in an order of %d; want %d", len(v.last), len(v.order), remembered)
	}
	if _, is := v.Gone("web"); is {
		t.Error("it keeps pods of a ReplicaSet")
	}
}
