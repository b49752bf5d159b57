package store

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	goruntime "runtime"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// childKey makes this test binary a process that takes a lease and holds it.
const childKey = "PIPE_STORE_TEST_LEASE"

// TestHoldLease is what the child does.
func TestHoldLease(t *testing.T) {
	pipeline := os.Getenv(childKey)
	if pipeline == "" {
		t.Skip("it is what holdElsewhere starts")
	}
	if _, err := start(t, Options{}).Lock(t.Context(), runtime.EnvironmentKey{Pipeline: pipeline, Name: "staging"}, "ana@here"); err != nil {
		t.Fatal(err)
	}
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
}

// holdElsewhere has another process of this machine take the lease, and returns what kills it.
func holdElsewhere(t *testing.T, key runtime.EnvironmentKey) (kill func()) {
	t.Helper()
	if goruntime.GOOS != "linux" {
		t.Skip("only Linux tells when a process was started")
	}
	child := exec.Command(os.Args[0], "-test.run=^TestHoldLease$")
	child.Env = append(os.Environ(), childKey+"="+key.Pipeline, "PIPE_TEST_KUBECONFIG="+testenv.Kubeconfig(t))
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = child.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = child.Wait() // it was killed
		_ = in.Close()
	})
	t.Cleanup(kill)
	if _, err := io.ReadFull(out, make([]byte, len("locked"))); err != nil {
		t.Fatal(err)
	}
	return kill
}

// TestKilledHolder: the lease of a process that was killed on this machine is
// taken over immediately, and not when it expires; that of one that lives is not.
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	kill := holdElsewhere(t, key)
	other := start(t, Options{LeaseDuration: time.Hour})
	var locked *runtime.LockedError
	if _, err := other.Lock(ctx, key, "ben"); !errors.As(err, &locked) || locked.Holder.By != "ana@here" {
		t.Fatalf("Lock of what a process holds = %v", err)
	}
	kill()
	if is, err := other.Holder(ctx, key); err != nil || is != nil {
		t.Errorf("Holder = %v, %v, and it is dead", is, err)
	}
	if _, err := other.Cancel(ctx, key, "ben"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Cancel = %v, want ErrNotFound", err)
	}
	// It was renewed until a moment ago, and is not watched: it would be refused.
	lease, err := other.Lock(ctx, key, "ben")
	if err != nil {
		t.Fatalf("Lock of what a dead process held = %v", err)
	}
	if err := lease.Release(ctx); err != nil {
		t.Error(err)
	}
}

// TestCancelEndsAtOnce: a holder that exits before the answer to the request arrives was
// cancelled, and was not dead before.
func TestCancelEndsAtOnce(t *testing.T) {
	t.Parallel()
	key := fresh(t)
	kill := holdElsewhere(t, key)
	other := start(t, Options{})
	other.after = func(_ int64, r *http.Request) error {
		if r.Method == http.MethodPatch {
			kill()
		}
		return nil
	}
	other.shaken.Store(true)
	if holder, err := other.Cancel(t.Context(), key, "ben"); holder != "ana@here" || err != nil {
		t.Errorf("Cancel = %q, %v", holder, err)
	}
}

// TestOtherMachine: nothing is said of a process that may be on another machine,
// or in another container of this one.
func TestOtherMachine(t *testing.T) {
	t.Parallel()
	this := thisProcess()
	if goruntime.GOOS != "linux" {
		t.Skip("only Linux tells when a process was started")
	}
	if this == "" || diedHere(this) {
		t.Errorf("this process is %q, and dead", this)
	}
	var boot, namespace, start string
	var pid int
	if _, err := fmt.Sscanf(this, "%s %s %d %s", &boot, &namespace, &pid, &start); err != nil {
		t.Fatalf("%q: %v", this, err)
	}
	for process, dead := range map[string]bool{
		fmt.Sprintf("%s %s %d %s", boot, namespace, pid, start+"0"):  true, // the same ID, given again
		fmt.Sprintf("%s %s %d %s", boot, namespace, 1<<30, start):    true,
		fmt.Sprintf("%s %s %d %s", "another", namespace, 1<<30, "1"): false,
		fmt.Sprintf("%s %s %d %s", boot, "pid:[7]", 1<<30, "1"):      false,
		"":                              false,
		boot + " " + namespace:          false,
		boot + " " + namespace + " x y": false,
	} {
		if got := diedHere(process); got != dead {
			t.Errorf("diedHere(%q) = %v", process, got)
		}
	}
}

// TestCancelIsSeen: the holder is told through its watch, long before it renews.
func TestCancelIsSeen(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	lease, err := start(t, Options{LeaseDuration: time.Hour}).Lock(ctx, key, "ana")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, Options{}).Cancel(ctx, key, "ben"); err != nil {
		t.Fatal(err)
	}
	select {
	case by := <-lease.Cancelled():
		if by != "ben" {
			t.Errorf("cancelled by %s", by)
		}
	case <-lease.Lost():
		t.Error("the lease was lost")
	case <-time.After(time.Minute):
		t.Error("nothing was seen of it")
	}
	if err := lease.Release(ctx); err != nil {
		t.Error(err)
	}
	list, err := client(t).CoordinationV1().Leases(key.Namespace()).List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("%d leases are left (%v)", len(list.Items), err)
	}
}
