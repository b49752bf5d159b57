package store

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// namespaceOf returns the namespace of an environment.
func namespaceOf(t *testing.T, key runtime.EnvironmentKey) *corev1.Namespace {
	t.Helper()
	n, err := client(t).CoreV1().Namespaces().Get(t.Context(), key.Namespace(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// administered creates the namespace of an environment as an administrator does.
func administered(t *testing.T, key runtime.EnvironmentKey, labels map[string]string) {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: key.Namespace(), Labels: labels}}
	if _, err := client(t).CoreV1().Namespaces().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// namesake returns an environment with the same namespace.
func namesake(key runtime.EnvironmentKey) runtime.EnvironmentKey { return key.Namesakes()[0] }

// elsewhere checks that err says that the state is kept in another namespace.
func elsewhere(t *testing.T, what string, err error, namespace string) {
	t.Helper()
	var e *runtime.ElsewhereError
	if !errors.As(err, &e) || e.Namespace != namespace {
		t.Errorf("%s = %v, want an ElsewhereError that names %s", what, err, namespace)
	}
}

// TestOwnerOfMadeNamespace: a namespace that somebody else has made gets an owner
// and does not become one that pipe deletes.
func TestOwnerOfMadeNamespace(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	administered(t, key, map[string]string{"team": "blue"})
	s := start(t, Options{})
	if err := s.Claim(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	n := namespaceOf(t, key)
	if runtime.OwnerOf(n.Labels) != key || n.Labels["team"] != "blue" || n.Labels[labelKind] != "" || n.Annotations[annotationState] != key.Namespace() {
		t.Errorf("the namespace has the labels %v and the annotations %v", n.Labels, n.Annotations)
	}
	var owned *runtime.OwnedError
	if err := s.Claim(t.Context(), namesake(key)); !errors.As(err, &owned) || owned.Owner != key {
		t.Errorf("Claim of a namesake = %v, want an OwnedError", err)
	}
}

// TestOwnerByRecords: in a namespace without labels, as an older pipe used it, the
// one that has a record or holds its lease has come first. Of two that have
// records whoever claims it has it.
func TestOwnerByRecords(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(*testing.T, *process, runtime.EnvironmentKey) error{
		"record": func(t *testing.T, s *process, key runtime.EnvironmentKey) error {
			return s.Save(t.Context(), &runtime.Environment{Key: key})
		},
		"lease": func(t *testing.T, s *process, key runtime.EnvironmentKey) error {
			lease, err := s.Lock(t.Context(), key, "ana")
			if err == nil {
				t.Cleanup(func() { _ = lease.Release(t.Context()) })
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := fresh(t)
			administered(t, key, nil)
			s := start(t, Options{})
			if err := first(t, s, key); err != nil {
				t.Fatal(err)
			}
			other := namesake(key)
			var owned *runtime.OwnedError
			if _, err := s.Owns(t.Context(), other); !errors.As(err, &owned) || owned.Owner != key {
				t.Errorf("Owns(%v) = %v, want an OwnedError", other, err)
			}
			if err := s.Claim(t.Context(), other); !errors.As(err, &owned) || owned.Owner != key {
				t.Errorf("Claim(%v) = %v, want an OwnedError", other, err)
			}
			if n := namespaceOf(t, key); runtime.OwnerOf(n.Labels) != (runtime.EnvironmentKey{}) {
				t.Errorf("the namespace was labelled: %v", n.Labels)
			}
			if err := s.Save(t.Context(), &runtime.Environment{Key: other}); err != nil {
				t.Fatal(err)
			}
			if err := s.Claim(t.Context(), other); err != nil {
				t.Errorf("Claim(%v), which has a record = %v", other, err)
			}
		})
	}
}

// TestStateElsewhere: an environment whose state is in a namespace for all gets no
// second state in its own, and the other way round (E1).
func TestStateElsewhere(t *testing.T) {
	t.Parallel()
	ctx, states := t.Context(), fresh(t).Namespace()
	own, shared := start(t, Options{}), start(t, Options{Namespace: states})
	save := func(s *process, key runtime.EnvironmentKey) {
		t.Helper()
		if err := s.Claim(ctx, key); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(ctx, &runtime.Environment{Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	kept, local, old := fresh(t), fresh(t), fresh(t)
	save(shared, kept)
	elsewhere(t, "Claim without the namespace for all", own.Claim(ctx, kept), states)
	_, err := own.Owns(ctx, kept)
	elsewhere(t, "Owns without the namespace for all", err, states)
	save(own, local)
	elsewhere(t, "Claim with the namespace for all", shared.Claim(ctx, local), local.Namespace())
	for _, s := range []*process{own, shared} { // a namesake is told of the owner, wherever that keeps its state
		var owned *runtime.OwnedError
		if err := s.Claim(ctx, namesake(kept)); !errors.As(err, &owned) || owned.Owner != kept {
			t.Errorf("Claim of a namesake = %v, want an OwnedError", err)
		}
	}

	// An older pipe noted no place.
	administered(t, old, labels(kindNamespace, old))
	if owns, err := own.Owns(ctx, old); !owns || err != nil {
		t.Errorf("Owns = %v, %v, want true", owns, err)
	}
	save(shared, old)
	elsewhere(t, "Claim after the place was noted", own.Claim(ctx, old), states)

	// A place in which nothing of the environment is, is none.
	if err := shared.Delete(ctx, kept); err != nil {
		t.Fatal(err)
	}
	save(own, kept)
	elsewhere(t, "Claim after the place has changed", shared.Claim(ctx, kept), kept.Namespace())
}
