package store

import (
	"errors"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

// TestMoved: an environment that exists in one namespace cannot be claimed in another one,
// whatever the place of its state; when it is deleted, it can.
func TestMoved(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{"own": {}, "state": {Namespace: fresh(t).Namespace()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, key := t.Context(), fresh(t)
			s := start(t, opts)
			there := key.At(fresh(t).Namespace())
			for _, step := range []error{s.Claim(ctx, key), s.Save(ctx, &runtime.Environment{Key: key})} {
				if step != nil {
					t.Fatal(step)
				}
			}
			moved := func(what string, err error) {
				t.Helper()
				var e *runtime.MovedError
				if !errors.As(err, &e) || e.Key != there || e.Namespace != key.Namespace() {
					t.Errorf("%s = %v, want a MovedError that names %s", what, err, key.Namespace())
				}
			}
			_, err := s.Owns(ctx, there)
			moved("Owns without a namespace", err)
			administered(t, there, nil)
			_, err = s.Owns(ctx, there)
			moved("Owns", err)
			moved("Claim", s.Claim(ctx, there))
			if err := s.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
			if err := s.Claim(ctx, there); err != nil {
				t.Errorf("Claim after the deletion = %v", err)
			}
			if n := namespaceOf(t, there); runtime.OwnerOf(n.Labels) != key {
				t.Errorf("the namespace has the labels %v", n.Labels)
			}
		})
	}
}

// TestChosenNamespace: an environment is found, listed, expired and deleted in a namespace
// that is not the default one, and another one cannot have that.
func TestChosenNamespace(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{"own": {}, "state": {Namespace: fresh(t).Namespace()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, free := t.Context(), fresh(t)
			key := free.At(fresh(t).Namespace())
			s := start(t, opts)
			env := &runtime.Environment{Key: key, Expires: time.Now().Add(-time.Hour)}
			for _, step := range []error{s.Claim(ctx, key), s.Save(ctx, env)} {
				if step != nil {
					t.Fatal(step)
				}
			}
			if is, err := s.Environment(ctx, key); err != nil || is.Key != key {
				t.Errorf("Environment = %+v, %v", is, err)
			}
			if all, bad, err := s.Environments(ctx, key.Pipeline); err != nil || len(bad) > 0 || len(all) != 1 || all[0].Key != key {
				t.Errorf("Environments = %v, %v, %v", all, bad, err)
			}
			expired, err := s.Expired(ctx, time.Now())
			found := false
			for _, is := range expired {
				found = found || is == key
			}
			if err != nil || !found {
				t.Errorf("Expired = %v, %v", expired, err)
			}
			other := runtime.EnvironmentKey{Pipeline: key.Pipeline, Name: "other"}.At(key.Namespace())
			var owned *runtime.OwnedError
			if err := s.Claim(ctx, other); !errors.As(err, &owned) || owned.Owner != key.Owner() {
				t.Errorf("Claim(%v) = %v, want an OwnedError", other, err)
			}
			if err := s.first(ctx, other); !errors.As(err, &owned) || owned.Owner != key.Owner() {
				t.Errorf("first(%v), which decides without rights on namespaces, = %v, want an OwnedError", other, err)
			}
			if err := s.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Environment(ctx, key); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("Environment after the deletion = %v", err)
			}
		})
	}
}
