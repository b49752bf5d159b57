package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// noise is text of a size that hardly compresses.
func noise(seed byte, size int) string {
	b := make([]byte, size/2)
	random := rand.NewChaCha8([32]byte{seed})
	random.Read(b)
	return hex.EncodeToString(b)
}

// small is a store whose entries are soon too large for one object.
func small(t *testing.T, opts Options) *process {
	t.Helper()
	p := start(t, opts)
	p.maxPiece = 1000
	return p
}

// largeSize is what takes a small store several pieces.
const largeSize = 6000

// large returns an environment that takes several objects.
func large(key runtime.EnvironmentKey, seed byte) *runtime.Environment {
	return &runtime.Environment{Key: key, Kind: "environment", Branch: fmt.Sprint(seed), Plan: &plan.Plan{
		Pipeline: plan.Pipeline{Name: key.Pipeline},
		Services: []plan.Service{{Name: "api", Values: map[string]any{"noise": noise(seed, largeSize)}}},
	}}
}

// check reads the environment and fails unless it is one that was written whole.
func check(t *testing.T, s *Store, key runtime.EnvironmentKey, may ...byte) (seed byte) {
	t.Helper()
	env, err := s.Environment(t.Context(), key)
	if err != nil {
		t.Fatalf("Environment = %v", err)
	}
	for _, seed := range may {
		if env.Branch == fmt.Sprint(seed) {
			if env.Plan.Services[0].Values["noise"] != noise(seed, largeSize) {
				t.Fatalf("environment %d has another plan", seed)
			}
			return seed
		}
	}
	t.Fatalf("environment %s was read, want one of %v", env.Branch, may)
	return 0
}

// objects returns the names of the ConfigMaps of a namespace that are ours.
func objects(t *testing.T, key runtime.EnvironmentKey) []string {
	t.Helper()
	list, err := client(t).CoreV1().ConfigMaps(key.Namespace()).List(t.Context(), metav1.ListOptions{LabelSelector: labelManagedBy + "=" + managedBy})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list.Items {
		names = append(names, m.Name)
	}
	return names
}

// TestKilledWriter kills a process before and after each request of the write of
// a large environment: what is read is the old or the new one, and the next
// write leaves nothing behind.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	for n := int64(1); ; n++ {
		key := fresh(t)
		good := small(t, Options{})
		env := large(key, 1)
		if err := good.Save(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		whole := len(objects(t, key))
		if whole < 4 {
			t.Fatalf("a large environment takes %d objects", whole)
		}
		env = large(key, 2)
		was, err := good.Environment(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		env.Revision = was.Revision
		victim := small(t, Options{})
		die := func(m int64, r *http.Request) error {
			if m >= n/2 {
				return errors.New("the process is dead")
			}
			return nil
		}
		victim.after = die
		if n%2 == 0 {
			victim.before, victim.after = die, nil
		}
		victim.shaken.Store(true)
		err = victim.Save(t.Context(), env)
		now := check(t, good.Store, key, 1, 2)
		if err == nil && now != 2 {
			t.Fatalf("what was saved is not there")
		}
		was, err2 := good.Environment(t.Context(), key)
		if err2 != nil {
			t.Fatal(err2)
		}
		env = large(key, 3)
		env.Revision = was.Revision
		if err := good.Save(t.Context(), env); err != nil {
			t.Fatalf("killed at %d: the next Save = %v", n, err)
		}
		check(t, good.Store, key, 3)
		if got := objects(t, key); len(got) != whole {
			t.Errorf("killed at %d: %d objects are left, want %d: %v", n, len(got), whole, got)
		}
		if victim.requests.Load() < n/2 {
			if n < 12 {
				t.Errorf("a write of %d objects took %d requests", whole, n/2)
			}
			return
		}
	}
}

// TestManyWriters has several write large environments over each other, while
// others read: what is read is always whole.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	if err := small(t, Options{}).Save(t.Context(), large(key, 0)); err != nil {
		t.Fatal(err)
	}
	whole := len(objects(t, key))
	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	all := []byte{0, 1, 2, 3}
	for range 2 {
		s := small(t, Options{})
		readers.Go(func() {
			for ctx.Err() == nil {
				env, err := s.Environment(t.Context(), key)
				if err != nil {
					t.Errorf("Environment = %v", err)
					return
				}
				if !slices.ContainsFunc(all, func(seed byte) bool {
					return env.Branch == fmt.Sprint(seed) && env.Plan.Services[0].Values["noise"] == noise(seed, largeSize)
				}) {
					t.Errorf("environment %s is not as anybody wrote it", env.Branch)
				}
				if envs, _, err := s.Environments(t.Context(), key.Pipeline); err != nil || len(envs) != 1 {
					t.Errorf("Environments = %v, %v", envs, err)
				}
			}
		})
	}
	for _, seed := range all[1:] {
		s := small(t, Options{})
		writers.Go(func() {
			for done := 0; done < 5; {
				was, err := s.Environment(t.Context(), key)
				if err != nil {
					t.Errorf("Environment = %v", err)
					return
				}
				env := large(key, seed)
				env.Revision = was.Revision
				switch err := s.Save(t.Context(), env); {
				case err == nil:
					done++
				case !errors.Is(err, runtime.ErrConflict):
					t.Errorf("Save = %v", err)
					return
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	check(t, small(t, Options{}).Store, key, all...)
	// One more write removes what the refused ones have left.
	s := small(t, Options{})
	was, err := s.Environment(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	env := large(key, 9)
	env.Revision = was.Revision
	if err := s.Save(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if got := objects(t, key); len(got) != whole {
		t.Errorf("%d objects are left, want %d: %v", len(got), whole, got)
	}
}

// TestSameAgain: who writes what is there already, while another is about to
// write something else, does not take that one's pieces away.
func TestSameAgain(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	same := large(key, 1)
	if err := small(t, Options{}).Save(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	again, s := *same, small(t, Options{})
	other := small(t, Options{})
	other.before = func(_ int64, r *http.Request) error {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/"+objectName(key)) {
			return s.Save(t.Context(), &again) // the pieces of the other one are written
		}
		return nil
	}
	other.shaken.Store(true)
	env := large(key, 2)
	env.Revision = same.Revision
	if err := other.Save(t.Context(), env); err == nil || !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("Save of what was changed meanwhile = %v, want ErrConflict", err)
	}
	check(t, s.Store, key, 1)
	env.Revision = again.Revision
	if err := s.Save(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	check(t, s.Store, key, 2)
}

// TestKeepRuns: the oldest records go, with all their pieces.
func TestKeepRuns(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	s := small(t, Options{KeepRuns: 3})
	begin := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 6 {
		run := runtime.RunRecord{ID: fmt.Sprint("run-", i), Start: begin.Add(time.Duration(i) * time.Second)}
		if err := s.AddRun(t.Context(), key, run); err != nil {
			t.Fatal(err)
		}
		run.End = begin.Add(time.Hour)
		run.Services = []runtime.ServiceRecord{{Service: "api", State: runtime.Failed, Evidence: []string{noise(byte(i), largeSize)}}}
		if err := s.AddRun(t.Context(), key, run); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := s.Runs(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, run := range runs {
		ids = append(ids, run.ID)
		if len(run.Services) != 1 || len(run.Services[0].Evidence[0]) != largeSize {
			t.Errorf("run %s has lost its evidence", run.ID)
		}
	}
	if want := []string{"run-5", "run-4", "run-3"}; !slices.Equal(ids, want) {
		t.Errorf("kept %v, want %v", ids, want)
	}
	for _, name := range objects(t, key) {
		if !strings.Contains(name, ".run.run-5") && !strings.Contains(name, ".run.run-4") && !strings.Contains(name, ".run.run-3") {
			t.Errorf("left over: %s", name)
		}
	}
}

// TestRequests: what a run and a listing cost.
func TestRequests(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	s := start(t, Options{})
	cost := func(what string, want int64, do func() error) {
		t.Helper()
		before := s.requests.Load()
		if err := do(); err != nil {
			t.Errorf("%s = %v", what, err)
		}
		if got := s.requests.Load() - before; got != want {
			t.Errorf("%s took %d requests, want %d", what, got, want)
		}
	}
	ctx := t.Context()
	env := &runtime.Environment{Key: key, Kind: "environment", Plan: &plan.Plan{}}
	var lease runtime.Lease
	// The namespace is missing at first: one that fails, one that makes it.
	cost("Lock", 3, func() (err error) { lease, err = s.Lock(ctx, key, "ana"); return err })
	cost("Save of a new one", 1, func() error { return s.Save(ctx, env) })
	cost("Save", 2, func() error { return s.Save(ctx, env) })
	run := runtime.RunRecord{ID: "one", Start: time.Now()}
	cost("AddRun at the start", 2, func() error { return s.AddRun(ctx, key, run) })
	run.End = time.Now()
	cost("AddRun at the end", 3, func() error { return s.AddRun(ctx, key, run) })
	cost("Release", 1, func() error { return lease.Release(ctx) })
	cost("Environment", 1, func() error { _, err := s.Environment(ctx, key); return err })
	cost("Environments", 1, func() error { _, _, err := s.Environments(ctx, ""); return err })
	cost("Runs", 1, func() error { _, err := s.Runs(ctx, key); return err })
	cost("Delete", 2, func() error { return s.Delete(ctx, key) })
}

// TestNamespace: a namespace that is missing is made and is ours; one that is
// there is left as it is.
func TestNamespace(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	namespaces := client(t).CoreV1().Namespaces()
	s := start(t, Options{})
	lease, err := s.Lock(ctx, key, "ana")
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(ctx); err != nil {
		t.Fatal(err)
	}
	ns, err := namespaces.Get(ctx, key.Namespace(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range labels(kindNamespace, key) {
		if ns.Labels[k] != v {
			t.Errorf("label %s is %q, want %q", k, ns.Labels[k], v)
		}
	}
	theirs := fresh(t)
	if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: theirs.Namespace()}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, &runtime.Environment{Key: theirs}); err != nil {
		t.Fatal(err)
	}
	if ns, err = namespaces.Get(ctx, theirs.Namespace(), metav1.GetOptions{}); err != nil || ns.Labels[labelManagedBy] != "" {
		t.Errorf("a namespace that was there has the labels %v (%v)", ns.Labels, err)
	}
}

// TestNoRights: an error says what is missing and what to do.
func TestNoRights(t *testing.T) {
	t.Parallel()
	cfg := testenv.Cluster(t)
	cfg.Impersonate.UserName = "nobody-in-particular"
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	key := fresh(t)
	err = Open(c, Options{}).Save(t.Context(), &runtime.Environment{Key: key})
	if err == nil || !strings.Contains(err.Error(), "save environment staging of pipeline "+key.Pipeline) || !strings.Contains(err.Error(), "nobody-in-particular") {
		t.Errorf("Save = %v", err)
	}
	_, _, err = Open(c, Options{}).Environments(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "list environments") {
		t.Errorf("Environments = %v", err)
	}
}

// TestTerminating: a namespace that is on its way out is waited for, and made again.
func TestTerminating(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	c := client(t)
	s := start(t, Options{})
	if err := s.Save(ctx, &runtime.Environment{Key: key}); err != nil {
		t.Fatal(err)
	}
	maps := c.CoreV1().ConfigMaps(key.Namespace())
	anchor, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "anchor", Finalizers: []string{"pipelinefile.github.io/test"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CoreV1().Namespaces().Delete(ctx, key.Namespace(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	limited, stop := context.WithCancel(ctx)
	defer stop()
	writes := 0
	s.before = func(_ int64, r *http.Request) error {
		if r.Method == http.MethodPost {
			if writes++; writes == 2 { // the first was refused
				stop()
			}
		}
		return nil
	}
	s.shaken.Store(true)
	err = s.AddRun(limited, key, runtime.RunRecord{ID: "one", Start: time.Now()})
	want := "while namespace " + key.Namespace() + " was being deleted"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("AddRun = %v, want %q", err, want)
	}
	s.shaken.Store(false)
	added := make(chan error)
	go func() { added <- s.AddRun(ctx, key, runtime.RunRecord{ID: "two", Start: time.Now()}) }()
	anchor.Finalizers = nil
	anchor.ResourceVersion = ""
	if _, err := maps.Update(ctx, anchor, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-added; err != nil {
		t.Errorf("AddRun = %v", err)
	}
	if runs, err := s.Runs(ctx, key); err != nil || len(runs) != 1 || runs[0].ID != "two" {
		t.Errorf("Runs = %v, %v", runs, err)
	}
}

// TestLateRecord: the record of a run that has ended makes no namespace. The run may
// have deleted it, and whoever deletes again finds no environment in it (A6).
func TestLateRecord(t *testing.T) {
	t.Parallel()
	c, key := client(t), fresh(t)
	s := Open(c, Options{})
	now := time.Now()
	if err := s.AddRun(t.Context(), key, runtime.RunRecord{ID: "one", Start: now, End: now}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("AddRun = %v, want %v", err, runtime.ErrNotFound)
	}
	if _, err := c.CoreV1().Namespaces().Get(t.Context(), key.Namespace(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a namespace %s (%v)", key.Namespace(), err)
	}
	if err := s.AddRun(t.Context(), key, runtime.RunRecord{ID: "one", Start: now}); err != nil {
		t.Errorf("AddRun of one that begins = %v", err)
	}
	if err := s.AddRun(t.Context(), key, runtime.RunRecord{ID: "one", Start: now, End: now}); err != nil {
		t.Errorf("AddRun = %v", err)
	}
}
