package registry

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// machine returns the registry as another machine uses it.
func machine(t *testing.T, prefix string) *Registry {
	t.Helper()
	r := newRegistry(t, prefix)
	r.shared = true
	return r
}

func ref(r *Registry, content string) string { return r.Ref("web", plan.DigestOf([]byte(content))) }

// eventually retries until is returns true. The limit only bounds a hang.
func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 2*time.Minute {
			t.Fatal("it took too long")
		}
	}
}

// TestClaimOfOneMachine: of many machines that want to build an image, one keeps its claim
// (I2).
func TestClaimOfOneMachine(t *testing.T) {
	t.Parallel()
	s := ours(t)
	var mu sync.Mutex
	var granted []runtime.Claim
	var wg sync.WaitGroup
	for range 10 {
		r := machine(t, s.Addr)
		wg.Go(func() {
			c, err := r.Claim(t.Context(), ref(r, "one"), "ana@laptop", false)
			var claimed *runtime.ClaimedError
			if err != nil && !errors.As(err, &claimed) {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				granted = append(granted, c)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	kept := func() (n int) {
		for _, c := range granted {
			select {
			case <-c.Lost():
			default:
				n++
			}
		}
		return n
	}
	if len(granted) == 0 {
		t.Fatal("nobody has a claim")
	}
	eventually(t, func() bool { return kept() == 1 })
	for _, c := range granted {
		c.Release(t.Context())
	}
	if kept() != 1 {
		t.Errorf("%d claims were kept, want 1", kept())
	}
	r := machine(t, s.Addr)
	c, err := r.Claim(t.Context(), ref(r, "one"), "ben@server", false)
	if err != nil {
		t.Fatalf("Claim after the release = %v", err)
	}
	c.Release(t.Context())
}

// TestClaimOfDeadMachine: a claim that is not renewed expires, and one that is renewed does
// not.
func TestClaimOfDeadMachine(t *testing.T) {
	t.Parallel()
	s := ours(t)
	a, b := machine(t, s.Addr), machine(t, s.Addr)
	dead, err := a.Claim(t.Context(), ref(a, "dead"), "ana@laptop", false)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*claim).stop() // as a killed process does, it neither renews nor releases it
	<-dead.(*claim).ended
	alive, err := a.Claim(t.Context(), ref(a, "alive"), "ana@laptop", false)
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Release(t.Context())
	isClaimed := func(content string) bool {
		c, err := b.Claim(t.Context(), ref(b, content), "ben@server", false)
		if err == nil {
			c.Release(t.Context())
		}
		return err != nil
	}
	if !isClaimed("dead") || !isClaimed("alive") {
		t.Error("the first sighting of a claim must count, as it may be alive")
	}
	began := time.Now()
	eventually(t, func() bool { return !isClaimed("dead") })
	if time.Since(began) < claimTime-time.Second {
		t.Error("it has expired too early")
	}
	if !isClaimed("alive") {
		t.Error("a claim that is renewed has expired")
	}
}

// TestClaimLost: whose claim was overwritten learns it, and does not release that of the
// other.
func TestClaimLost(t *testing.T) {
	t.Parallel()
	s := ours(t)
	a, b, c := machine(t, s.Addr), machine(t, s.Addr), machine(t, s.Addr)
	first, err := a.Claim(t.Context(), ref(a, "x"), "ana@laptop", false)
	if err != nil {
		t.Fatal(err)
	}
	b.claimTime = 0 // it takes the claim for expired at the second sighting
	_, _ = b.Claim(t.Context(), ref(b, "x"), "ben@server", false)
	var second runtime.Claim
	eventually(t, func() bool {
		second, err = b.Claim(t.Context(), ref(b, "x"), "ben@server", false)
		return err == nil
	})
	<-first.Lost()
	first.Release(t.Context())
	_, err = c.Claim(t.Context(), ref(c, "x"), "eva@desktop", false)
	var claimed *runtime.ClaimedError
	if !errors.As(err, &claimed) || claimed.By != "ben@server" {
		t.Errorf("Claim = %v, want that of ben@server", err)
	}
	second.Release(t.Context())
}

// TestClaimWithoutDelete: a registry that deletes no tags keeps released claims, which do
// not count. One that accepts no claim is an error.
func TestClaimWithoutDelete(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ggcr.WithReferrersSupport(true))
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return r.Method == http.MethodDelete
	})
	a, b := machine(t, u.addr), machine(t, u.addr)
	first, err := a.Claim(t.Context(), ref(a, "x"), "ana@laptop", false)
	if err != nil {
		t.Fatal(err)
	}
	first.Release(t.Context())
	second, err := b.Claim(t.Context(), ref(b, "x"), "ben@server", false)
	if err != nil {
		t.Fatalf("Claim of what was released = %v", err)
	}
	second.Release(t.Context())
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusForbidden)
		}
		return r.Method == http.MethodPut
	})
	if _, err := b.Claim(t.Context(), ref(b, "y"), "ben@server", false); err == nil || !strings.Contains(err.Error(), u.addr) {
		t.Errorf("Claim in a registry that cannot be written = %v", err)
	}
}

// TestClaimAlways: a registry that one machine alone uses keeps claims of images that its builder does
// not make.
func TestClaimAlways(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, ours(t).Addr)
	for range 2 {
		c, err := r.Claim(t.Context(), ref(r, "x"), "ana@laptop", false)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release(t.Context())
	}
	c, err := r.Claim(t.Context(), ref(r, "y"), "ana@laptop", true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release(t.Context())
	var claimed *runtime.ClaimedError
	if _, err := r.Claim(t.Context(), ref(r, "y"), "ben@laptop", true); !errors.As(err, &claimed) || claimed.By != "ana@laptop" {
		t.Errorf("the second claim: %v", err)
	}
}

// TestClaimByLock: in a registry of one machine, one process at a time has the claim of a build,
// until it releases it or ends.
func TestClaimByLock(t *testing.T) {
	t.Parallel()
	addr, locks := ours(t).Addr, filepath.Join(t.TempDir(), "new", "locks")
	process := func() *Registry {
		r := newRegistry(t, addr)
		r.locks = locks
		return r
	}
	r := process()
	c, err := r.Claim(t.Context(), ref(r, "x"), "ana@laptop", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Registry{process(), r} {
		var claimed *runtime.ClaimedError
		if _, err := r.Claim(t.Context(), ref(r, "x"), "ben@laptop", false); !errors.As(err, &claimed) || claimed.By != "ana@laptop" {
			t.Errorf("the second claim: %v", err)
		}
		other, err := r.Claim(t.Context(), ref(r, "y"), "ben@laptop", false)
		if err != nil {
			t.Fatalf("the claim of another image: %v", err)
		}
		other.Release(t.Context())
	}
	var claimed *runtime.ClaimedError
	if _, err := process().Claim(t.Context(), ref(r, "x"), "ben@laptop", false); !errors.As(err, &claimed) {
		t.Fatalf("the second claim: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := claimed.Wait(ctx); !errors.Is(err, enough) {
		t.Errorf("Wait during the claim = %v", err)
	}
	c.Release(t.Context())
	if err := claimed.Wait(t.Context()); err != nil {
		t.Errorf("Wait after the claim = %v", err)
	}
	if left, err := os.ReadDir(locks); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if c, err = r.Claim(t.Context(), ref(r, "x"), "ben@laptop", false); err != nil {
		t.Fatalf("the claim after the release: %v", err)
	}
	c.(*fileClaim).unlock() // as the operating system does when a process is killed
	if c, err = process().Claim(t.Context(), ref(r, "x"), "eva@laptop", false); err != nil {
		t.Fatalf("the claim of a dead process: %v", err)
	}
	c.Release(t.Context())
	if err := os.RemoveAll(filepath.Dir(locks)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Dir(locks), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Claim(t.Context(), ref(r, "x"), "ana@laptop", false); err == nil {
		t.Error("a claim without a place for the lock")
	}
}
