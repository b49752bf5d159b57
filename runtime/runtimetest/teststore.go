package runtimetest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// TestStore checks the contract of [runtime.Store]. Each call of open returns a separate
// client of the same store. The environments that the test creates belong to new pipelines
// whose names start with "contract-"; the test deletes them at the end.
func TestStore(t *testing.T, open func(t *testing.T) runtime.Store) {
	for name, test := range map[string]func(*testing.T, storeTest){
		"nothing":       testStoreNothing,
		"save and read": testStoreSave,
		"list":          testStoreList,
		"conflict":      testStoreConflict,
		"two writers":   testStoreWriters,
		"large plan":    testStoreLarge,
		"runs":          testStoreRuns,
		"delete":        testStoreDelete,
		"cancelled":     testStoreCancelled,
		"expired":       testStoreExpired,
		"plans of runs": testStorePlans,
		"owner":         testStoreOwner,
		"many claims":   testStoreClaims,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, storeTest{t, open})
		})
	}
}

type storeTest struct {
	t    *testing.T
	open func(t *testing.T) runtime.Store
}

// key returns the key of an environment that has never existed.
func (s storeTest) key(name string) runtime.EnvironmentKey {
	key := runtime.EnvironmentKey{Pipeline: Unique("contract"), Name: name}
	s.t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(s.t.Context()), 30*time.Second)
		defer stop()
		if err := s.open(s.t).Delete(ctx, key); err != nil {
			s.t.Errorf("Delete(%v) = %v", key, err)
		}
	})
	return key
}

// Unique returns a unique name that starts with prefix. It can be part of the name of a
// Kubernetes object.
func Unique(prefix string) string {
	return fmt.Sprintf("%s-%08x", prefix, rand.Uint32())
}

// environment returns an environment with all fields set, with values that survive JSON.
func environment(key runtime.EnvironmentKey) *runtime.Environment {
	return &runtime.Environment{
		Key:     key,
		Kind:    plan.KindPreview,
		Source:  "staging",
		Branch:  "feature/größer",
		Expires: time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC),
		Plan: &plan.Plan{
			Version:     plan.Version,
			Pipeline:    plan.Pipeline{Name: key.Pipeline, BuildParallelism: 7, DeployParallelism: 7},
			Environment: plan.EnvironmentRef{Name: key.Name, Kind: plan.KindPreview},
			Stages:      []plan.Stage{{Name: "one", Order: 1}},
			Services: []plan.Service{{
				Name: "api", Type: plan.Application, Stage: "one",
				Values:  map[string]any{"replicas": 2.0, "nested": map[string]any{"a": []any{"b", true}}},
				Timeout: plan.Duration(5 * time.Minute),
			}},
			Builds: []plan.BuildSpec{},
			Inputs: []plan.Input{},
		},
	}
}

// same compares all fields, and prints them as JSON if they differ.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	g, _ := json.MarshalIndent(got, "", " ")
	w, _ := json.MarshalIndent(want, "", " ")
	t.Errorf("%s = %s\n(%+v)\nwant %s\n(%+v)", what, g, got, w, want)
}

func testStoreNothing(t *testing.T, s storeTest) {
	store, key, ctx := s.open(t), s.key("none"), t.Context()
	if env, err := store.Environment(ctx, key); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Environment of none = %v, %v, want ErrNotFound", env, err)
	}
	if envs, _, err := store.Environments(ctx, key.Pipeline); err != nil || len(envs) != 0 {
		t.Errorf("Environments of none = %v, %v, want none", envs, err)
	}
	if runs, err := store.Runs(ctx, key); err != nil || len(runs) != 0 {
		t.Errorf("Runs of none = %v, %v, want none", runs, err)
	}
	if run, err := store.Run(ctx, key, "none"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Run of none = %v, %v, want ErrNotFound", run, err)
	}
	if err := store.Delete(ctx, key); err != nil {
		t.Errorf("Delete of none = %v", err)
	}
}

func testStoreSave(t *testing.T, s storeTest) {
	store, key, ctx := s.open(t), s.key("staging"), t.Context()
	env := environment(key)
	if err := store.Save(ctx, env); err != nil {
		t.Fatalf("Save = %v", err)
	}
	if env.Revision == "" {
		t.Errorf("Save set no revision")
	}
	got, err := s.open(t).Environment(ctx, key)
	if err != nil {
		t.Fatalf("Environment = %v", err)
	}
	same(t, "Environment", got, env)
	// Save again with fewer fields: nothing of the previous version is left.
	first := env.Revision
	env.Plan, env.Branch, env.Expires = nil, "", time.Time{}
	if err := store.Save(ctx, env); err != nil {
		t.Fatalf("second Save = %v", err)
	}
	if env.Revision == first {
		t.Errorf("the revision %s stayed the same over a change", first)
	}
	if got, err = store.Environment(ctx, key); err != nil {
		t.Fatalf("Environment = %v", err)
	}
	same(t, "Environment after a second Save", got, env)
}

func testStoreList(t *testing.T, s storeTest) {
	store, ctx := s.open(t), t.Context()
	key := s.key("staging")
	var want []*runtime.Environment
	for _, name := range []string{"alpha", "beta", "gamma"} {
		k := runtime.EnvironmentKey{Pipeline: key.Pipeline, Name: name}
		t.Cleanup(func() { _ = store.Delete(context.WithoutCancel(ctx), k) })
		want = append(want, environment(k))
	}
	other := environment(s.key("alpha"))
	for _, env := range []*runtime.Environment{want[2], want[0], other, want[1]} {
		if err := store.Save(ctx, env); err != nil {
			t.Fatalf("Save(%v) = %v", env.Key, err)
		}
	}
	got, _, err := store.Environments(ctx, key.Pipeline)
	if err != nil {
		t.Fatalf("Environments = %v", err)
	}
	same(t, "Environments of one pipeline", got, want)
	all, _, err := store.Environments(ctx, "")
	if err != nil {
		t.Fatalf("Environments of all = %v", err)
	}
	found := 0
	for _, env := range all {
		if env.Key.Pipeline == key.Pipeline || env.Key == other.Key {
			found++
		}
	}
	if found != 4 {
		t.Errorf("Environments(\"\") has %d of the 4 environments", found)
	}
}

func testStoreConflict(t *testing.T, s storeTest) {
	a, b, key, ctx := s.open(t), s.open(t), s.key("staging"), t.Context()
	first := environment(key)
	if err := a.Save(ctx, first); err != nil {
		t.Fatalf("Save = %v", err)
	}
	// A second client that expects to create it.
	if err := b.Save(ctx, environment(key)); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("Save of a new environment over another = %v, want ErrConflict", err)
	}
	second, err := b.Environment(ctx, key)
	if err != nil {
		t.Fatalf("Environment = %v", err)
	}
	second.Branch = "second"
	if err := b.Save(ctx, second); err != nil {
		t.Fatalf("Save of what was read = %v", err)
	}
	first.Branch = "first"
	if err := a.Save(ctx, first); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("Save of what was changed meanwhile = %v, want ErrConflict", err)
	}
	if got, err := a.Environment(ctx, key); err != nil || got.Branch != "second" {
		t.Errorf("after a conflict Environment = %v, %v, want what the second wrote", got, err)
	}
	// A deleted environment cannot be changed.
	if err := b.Delete(ctx, key); err != nil {
		t.Fatalf("Delete = %v", err)
	}
	if err := a.Save(ctx, second); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("Save of what was deleted meanwhile = %v, want ErrConflict", err)
	}
}

// testStoreWriters makes several clients append to one environment concurrently: if each
// conflict is retried, no write is lost.
func testStoreWriters(t *testing.T, s storeTest) {
	key, ctx := s.key("counted"), t.Context()
	const writers, times = 4, 5
	env := environment(key)
	env.Branch = ""
	if err := s.open(t).Save(ctx, env); err != nil {
		t.Fatalf("Save = %v", err)
	}
	var wg sync.WaitGroup
	for range writers {
		store := s.open(t)
		wg.Go(func() {
			for done := 0; done < times; {
				env, err := store.Environment(ctx, key)
				if err != nil {
					t.Errorf("Environment = %v", err)
					return
				}
				env.Branch += "x"
				err = store.Save(ctx, env)
				switch {
				case err == nil:
					done++
				case !errors.Is(err, runtime.ErrConflict):
					t.Errorf("Save = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := s.open(t).Environment(ctx, key)
	if err != nil || len(got.Branch) != writers*times {
		t.Errorf("%d writes are left, want %d (%v)", len(got.Branch), writers*times, err)
	}
}

func testStoreLarge(t *testing.T, s storeTest) {
	store, key, ctx := s.open(t), s.key("large"), t.Context()
	env := environment(key)
	// Three megabytes that cannot be compressed.
	noise := make([]byte, 3<<19)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise) // it never fails
	env.Plan.Services[0].Values["noise"] = hex.EncodeToString(noise)
	for round := range 2 {
		if err := store.Save(ctx, env); err != nil {
			t.Fatalf("Save = %v", err)
		}
		got, err := store.Environment(ctx, key)
		if err != nil {
			t.Fatalf("Environment = %v", err)
		}
		if !reflect.DeepEqual(env, got) {
			t.Fatalf("a large plan is not what it was, in round %d", round)
		}
		env.Branch = "again"
	}
}

func testStoreRuns(t *testing.T, s storeTest) {
	store, key, ctx := s.open(t), s.key("staging"), t.Context()
	start := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	var want []runtime.RunRecord
	for i := range 5 {
		run := runtime.RunRecord{
			ID:         fmt.Sprintf("run-%d", i),
			Action:     runtime.Deploy,
			By:         "ana@laptop",
			PlanDigest: plan.DigestOf([]byte{byte(i)}),
			Start:      start.Add(time.Duration(i) * time.Hour),
			Services:   []runtime.ServiceRecord{{Service: "api", Stage: "one", State: runtime.Waiting}},
		}
		// A run may be recorded before the environment exists.
		if err := store.AddRun(ctx, key, run); err != nil {
			t.Fatalf("AddRun = %v", err)
		}
		want = append([]runtime.RunRecord{run}, want...)
	}
	// The same run, after its end.
	want[2].End = want[2].Start.Add(time.Minute)
	want[2].Error = "service api failed"
	want[2].Services = []runtime.ServiceRecord{{
		Service: "api", Stage: "one", State: runtime.Failed, Error: "it crashes",
		Evidence: []string{"pod api-0: CrashLoopBackOff", strings.Repeat("line ", 100)},
	}}
	if err := s.open(t).AddRun(ctx, key, want[2]); err != nil {
		t.Fatalf("AddRun again = %v", err)
	}
	got, err := store.Runs(ctx, key)
	if err != nil {
		t.Fatalf("Runs = %v", err)
	}
	same(t, "Runs", got, want)
	if env, err := store.Environment(ctx, key); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Environment of runs alone = %v, %v, want ErrNotFound", env, err)
	}
	if runs, err := store.Runs(ctx, s.key("other")); err != nil || len(runs) > 0 {
		t.Errorf("Runs of another environment = %v, %v", runs, err)
	}
}

func testStoreDelete(t *testing.T, s storeTest) {
	store, key, ctx := s.open(t), s.key("staging"), t.Context()
	env := environment(key)
	if err := store.Save(ctx, env); err != nil {
		t.Fatalf("Save = %v", err)
	}
	if err := store.AddRun(ctx, key, runtime.RunRecord{ID: "one", Start: time.Now()}); err != nil {
		t.Fatalf("AddRun = %v", err)
	}
	for range 2 {
		if err := store.Delete(ctx, key); err != nil {
			t.Fatalf("Delete = %v", err)
		}
	}
	if _, err := store.Environment(ctx, key); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Environment of a deleted one: %v, want ErrNotFound", err)
	}
	if runs, err := store.Runs(ctx, key); err != nil || len(runs) > 1 { // they may be stored separately
		t.Errorf("Runs of a deleted one = %v, %v", runs, err)
	}
	// It can be created again.
	again := environment(key)
	if err := store.Save(ctx, again); err != nil {
		t.Errorf("Save after Delete = %v", err)
	}
}

func testStoreExpired(t *testing.T, s storeTest) {
	store, ctx := s.open(t), t.Context()
	now := time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC) // no other environments are that old
	over, lasting, forever := s.key("over"), s.key("lasting"), s.key("forever")
	for key, expires := range map[runtime.EnvironmentKey]time.Time{over: now.Add(-time.Hour), lasting: now.Add(time.Hour), forever: {}} {
		env := environment(key)
		env.Expires = expires
		if err := store.Save(ctx, env); err != nil {
			t.Fatalf("Save = %v", err)
		}
	}
	got, err := store.Expired(ctx, now)
	if err != nil {
		t.Fatalf("Expired = %v", err)
	}
	if !slices.Contains(got, over) || slices.Contains(got, lasting) || slices.Contains(got, forever) {
		again, err := store.Expired(ctx, now)
		t.Errorf("Expired = %v, want %v and neither %v nor %v; the next call returns %v, %v", got, over, lasting, forever, again, err)
	}
}

// testStorePlans: a run is read with its own plan, whatever the plans of other runs are.
func testStorePlans(t *testing.T, s storeTest) {
	store, key, ctx := s.open(t), s.key("staging"), t.Context()
	one, two := environment(key).Plan, environment(key).Plan
	two.Services[0].Name = "other"
	for i, p := range []*plan.Plan{one, two, one, nil} {
		run := runtime.RunRecord{ID: fmt.Sprint("run-", i), Start: time.Now(), Plan: p}
		for range 2 { // at its start, and at its end
			if err := store.AddRun(ctx, key, run); err != nil {
				t.Fatalf("AddRun = %v", err)
			}
			run.End = time.Now()
		}
	}
	for i, p := range []*plan.Plan{one, two, one, nil} {
		run, err := s.open(t).Run(ctx, key, fmt.Sprint("run-", i))
		if err != nil {
			t.Fatalf("Run = %v", err)
		}
		same(t, "the plan of the run", run.Plan, p)
	}
	runs, err := store.Runs(ctx, key)
	if err != nil || len(runs) != 4 {
		t.Fatalf("Runs = %d, %v", len(runs), err)
	}
	for _, run := range runs {
		if run.Plan != nil {
			t.Errorf("Runs gives a plan")
		}
	}
}

func testStoreCancelled(t *testing.T, s storeTest) {
	store, key := s.open(t), s.key("staging")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Save(ctx, environment(key)); !errors.Is(err, context.Canceled) {
		t.Errorf("Save with a cancelled context = %v", err)
	}
	if _, err := store.Environment(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("Environment with a cancelled context = %v", err)
	}
}

// ownedBy checks that err is an OwnedError for key that names its owner.
func ownedBy(t *testing.T, what string, err error, key, owner runtime.EnvironmentKey) {
	t.Helper()
	var e *runtime.OwnedError
	if !errors.As(err, &e) || e.Key != key || e.Owner != owner {
		t.Errorf("%s(%v) = %v, want an OwnedError that names %v", what, key, err, owner)
	}
}

// testStoreOwner has two environments with the same namespace: the first one to claim it owns
// it, and the other one gets an error with the owner (E6).
func testStoreOwner(t *testing.T, s storeTest) {
	store, key, ctx := s.open(t), s.key("a-test"), t.Context()
	other := runtime.EnvironmentKey{Pipeline: key.Pipeline + "-a", Name: "test"}
	for _, k := range []runtime.EnvironmentKey{key, other} {
		if owns, err := store.Owns(ctx, k); owns || err != nil {
			t.Errorf("Owns(%v) of a namespace that nobody has = %v, %v, want false", k, owns, err)
		}
	}
	for range 2 { // it is idempotent
		if err := store.Claim(ctx, key); err != nil {
			t.Fatalf("Claim(%v) = %v", key, err)
		}
		if owns, err := s.open(t).Owns(ctx, key); !owns || err != nil {
			t.Errorf("Owns(%v) = %v, %v, want true", key, owns, err)
		}
	}
	ownedBy(t, "Claim", s.open(t).Claim(ctx, other), other, key)
	_, err := s.open(t).Owns(ctx, other)
	ownedBy(t, "Owns", err, other, key)
	if _, err := store.Environment(ctx, other); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Environment(%v) = %v, want ErrNotFound", other, err)
	}
	// Records from before the claim can be deleted, without an effect on the owner's.
	for _, k := range []runtime.EnvironmentKey{key, other} {
		if err := store.Save(ctx, environment(k)); err != nil {
			t.Fatalf("Save(%v) = %v", k, err)
		}
		if err := store.AddRun(ctx, k, runtime.RunRecord{ID: "run", Action: runtime.Deploy, Start: time.Now()}); err != nil {
			t.Fatalf("AddRun(%v) = %v", k, err)
		}
	}
	if err := store.Delete(ctx, other); err != nil {
		t.Errorf("Delete(%v) = %v", other, err)
	}
	if _, err := store.Environment(ctx, key); err != nil {
		t.Errorf("Environment(%v) after the deletion of %v = %v", key, other, err)
	}
	if runs, err := store.Runs(ctx, key); err != nil || len(runs) != 1 {
		t.Errorf("Runs(%v) after the deletion of %v = %v, %v, want one", key, other, runs, err)
	}
}

// testStoreClaims makes many environments claim one namespace concurrently: one gets it, and
// all others get an error with its owner.
func testStoreClaims(t *testing.T, s storeTest) {
	ctx := t.Context()
	first := s.key("a-b-c-d-test")
	keys := append(first.Namesakes(), first)
	keys = slices.DeleteFunc(keys, func(k runtime.EnvironmentKey) bool { return !strings.HasPrefix(k.Pipeline, "contract-") })
	errs := make([]error, len(keys))
	var wg sync.WaitGroup
	for i, key := range keys {
		store := s.open(t)
		wg.Go(func() { errs[i] = store.Claim(ctx, key) })
	}
	wg.Wait()
	winner := slices.IndexFunc(errs, func(err error) bool { return err == nil })
	if winner < 0 {
		t.Fatalf("nobody has the namespace: %v", errs)
	}
	for i, key := range keys {
		if i != winner {
			ownedBy(t, "Claim", errs[i], key, keys[winner])
		}
	}
}
