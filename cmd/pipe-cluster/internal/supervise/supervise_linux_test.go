package supervise

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	d := home.Dir(t.TempDir())
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	return &supervisor{
		dir: d, log: log.New(io.Discard, "", 0), spawn: spawner(), failed: make(chan error, 8),
		ready: map[string]bool{}, once: map[string]bool{}, changed: make(chan struct{}),
		state: home.State{Phase: home.Starting},
	}
}

func shell(script string) child {
	return child{name: "c", path: "/bin/sh", args: []string{"-c", script}, grace: 5 * time.Second}
}

// TestKeep: a child that reports its progress and that it is usable is restarted when it dies, and
// stopped at the end.
func TestKeep(t *testing.T) {
	s := newSupervisor(t)
	ctx, stop := context.WithCancel(t.Context())
	done := s.start(ctx, shell("echo doing something; echo ready; echo oops >&2; exec sleep 60"))
	if err := s.await(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	first, err := s.dir.ReadState()
	if err != nil || first.Doing != "something" || len(first.Children) != 1 || first.Children[0].State != home.ChildRunning {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := syscall.Kill(first.Children[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for ; s.await(ctx, "c") == nil; time.Sleep(5 * time.Millisecond) {
		now, err := s.dir.ReadState()
		if err != nil {
			t.Fatal(err)
		}
		if c := now.Children[0]; c.PID != 0 && c.PID != first.Children[0].PID {
			if want := "c died (signal: killed): oops; see " + s.dir.Log("c"); now.Why != want {
				t.Errorf("why = %q, want %q", now.Why, want)
			}
			break
		}
	}
	stop()
	<-done
	last, _ := s.dir.ReadState()
	if c := last.Children[0]; c.State != home.ChildStopped || c.PID != 0 {
		t.Errorf("%+v", c)
	}
}

// TestGiveUp: a child that never becomes usable is not restarted forever.
func TestGiveUp(t *testing.T) {
	s := newSupervisor(t)
	s.start(t.Context(), shell("echo the disk is full >&2; exit 3"))
	err := s.await(t.Context(), "c")
	if err == nil || !strings.Contains(err.Error(), "c died 5 times before it was usable (exit status 3):\nthe disk is full") {
		t.Errorf("await = %v", err)
	}
}

// TestProbe: a child that does not report that it is usable is probed.
func TestProbe(t *testing.T) {
	s := newSupervisor(t)
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	c := shell("exec sleep 60")
	c.probe = func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	done := s.start(ctx, c)
	if err := s.await(ctx, "c"); err != nil || asked != 3 {
		t.Errorf("await = %v, asked %d times", err, asked)
	}
	stop()
	<-done
}

func TestBound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.log")
	w, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	write := func(text string) {
		t.Helper()
		if _, err := w.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	check := func(path, want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", filepath.Base(path), got, err, want)
		}
	}
	write("0123456789")
	if err := bound(file, 10); err != nil {
		t.Fatal(err)
	}
	check(file, "0123456789")
	write("a")
	if err := bound(file, 10); err != nil {
		t.Fatal(err)
	}
	write("b") // by the writer that has it open
	check(file, "b")
	check(file+".1", "0123456789a")
}

func TestProxies(t *testing.T) {
	got := proxies([]string{"HTTP_PROXY=http://no", "PIPE_CLUSTER_WORLD_https_proxy=http://yes", "A=b"})
	if len(got) != 1 || got[0] != "https_proxy=http://yes" {
		t.Errorf("proxies = %q", got)
	}
}
