package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// TestDamaged: an environment that cannot be read is reported, not treated as absent, and
// hides no other. It runs alone, because other tests list all environments.
func TestDamaged(t *testing.T) {
	well := fresh(t)
	namespace := well.Namespace()
	s := small(t, Options{Namespace: namespace})
	maps := client(t).CoreV1().ConfigMaps(namespace)
	env := large(well, 1)
	env.Images = map[string]string{"web": "r/web@sha256:deployed"}
	if err := s.Save(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	run := runtime.RunRecord{ID: "run", Start: time.Now(), Services: []runtime.ServiceRecord{{Image: "r/web@sha256:recorded", Images: map[string]string{"side": "r/side@sha256:recorded"}}}}
	if err := s.AddRun(t.Context(), well, run); err != nil {
		t.Fatal(err)
	}
	lease, err := s.Lock(t.Context(), well, "ana@laptop")
	if err != nil {
		t.Fatal(err)
	}
	used, err := alone(t, namespace).Used(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"r/web@sha256:deployed", "r/web@sha256:recorded", "r/side@sha256:recorded"} {
		if who := used.Images[ref]; len(who) != 1 || who[0] != well.Pipeline+"/"+well.Name {
			t.Errorf("%s is used by %q", ref, who)
		}
	}
	held := 0
	for run := range used.Runs {
		if strings.HasPrefix(run, well.Pipeline+"/"+well.Name+", by ana@laptop ") {
			held++
		}
	}
	if held != 1 || used.Environments[namespace] == "" {
		t.Errorf("runs in progress %v, environments %v", used.Runs, used.Environments)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		damage func(main *corev1.ConfigMap) error
		want   string
	}{
		{"lacking", func(main *corev1.ConfigMap) error {
			names, err := pieceNames(main)
			if err != nil {
				return err
			}
			return maps.Delete(t.Context(), names[1], metav1.DeleteOptions{})
		}, "it names the piece pipe." + well.Pipeline + ".lacking."},
		{"cut", func(main *corev1.ConfigMap) error {
			names, err := pieceNames(main)
			if err != nil {
				return err
			}
			piece, err := maps.Get(t.Context(), names[0], metav1.GetOptions{})
			if err != nil {
				return err
			}
			piece.BinaryData["data"] = piece.BinaryData["data"][:10]
			_, err = maps.Update(t.Context(), piece, metav1.UpdateOptions{})
			return err
		}, "its pieces do not fit: "},
		{"list", func(main *corev1.ConfigMap) error {
			main.Data[fieldPieces] = "none"
			return nil
		}, "its list of pieces: "},
		{"text", func(main *corev1.ConfigMap) error {
			main.Data[fieldText] = "{"
			return nil
		}, "its state cannot be read: "},
		{"gzip", func(main *corev1.ConfigMap) error {
			delete(main.Data, fieldPieces)
			main.BinaryData = map[string][]byte{fieldPlan: []byte("no gzip")}
			return nil
		}, "its field plan: "},
	} {
		key := runtime.EnvironmentKey{Pipeline: well.Pipeline, Name: tt.name}
		if err := s.Save(t.Context(), large(key, 2)); err != nil {
			t.Fatal(err)
		}
		main, err := maps.Get(t.Context(), objectName(key), metav1.GetOptions{})
		if err == nil {
			err = tt.damage(main)
		}
		if err == nil {
			_, err = maps.Update(t.Context(), main, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Environment(t.Context(), key)
		envs, listed, listErr := s.Environments(t.Context(), key.Pipeline)
		if listErr != nil || len(envs) != 1 || envs[0].Key != well || len(listed) != 1 {
			t.Fatalf("%s: Environments = %d, %v, %v", tt.name, len(envs), listed, listErr)
		}
		for _, err := range []error{err, listed[0]} {
			var is *runtime.DamagedError
			if !errors.As(err, &is) || errors.Is(err, runtime.ErrNotFound) || is.Key != key ||
				is.Object != "ConfigMap "+namespace+"/"+objectName(key) || !strings.HasPrefix(is.Err.Error(), tt.want) {
				t.Errorf("%s: reading it = %v", tt.name, err)
			}
		}
		// It may name images, and whoever prunes does not know where its state is.
		if used, err := alone(t, namespace).Used(t.Context()); err == nil {
			t.Errorf("%s: Used = %+v, want an error", tt.name, used)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete of what is damaged = %v", err)
		}
		for _, name := range objects(t, well) {
			if strings.HasPrefix(name, objectName(key)) {
				t.Errorf("%s: Delete left %s", tt.name, name)
			}
		}
	}
}

// TestDamagedRun: a record that cannot be read hides no other, and goes in its turn.
func TestDamagedRun(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	s := small(t, Options{KeepRuns: 2})
	begin := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	add := func(i int) {
		t.Helper()
		at := begin.Add(time.Duration(i) * time.Second)
		if err := s.AddRun(t.Context(), key, runtime.RunRecord{ID: fmt.Sprint("run-", i), Start: at, End: at}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Save(t.Context(), &runtime.Environment{Key: key}); err != nil {
		t.Fatal(err)
	}
	add(0)
	add(1)
	maps := client(t).CoreV1().ConfigMaps(key.Namespace())
	object, err := maps.Get(t.Context(), runName(key, "run-0"), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object.BinaryData[fieldRun] = []byte("no gzip")
	object.Data = map[string]string{fieldPieces: "none"}
	if _, err := maps.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(t.Context(), key)
	if err != nil || len(runs) != 2 || runs[0].ID != "run-1" || runs[0].Error != "" ||
		runs[1].ID != "run-0" || !runs[1].Start.Equal(begin) || !strings.Contains(runs[1].Error, object.Name+" is damaged: its list of pieces: ") {
		t.Errorf("Runs = %+v, %v", runs, err)
	}
	add(2)
	if runs, err = s.Runs(t.Context(), key); err != nil || len(runs) != 2 || runs[1].ID != "run-1" {
		t.Errorf("after another one Runs = %+v, %v", runs, err)
	}
}
