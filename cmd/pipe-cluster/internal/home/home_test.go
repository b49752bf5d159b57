package home

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

func TestDefault(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HOME", root)
	for _, x := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"PIPE_HOME first", map[string]string{"PIPE_HOME": root + "/p", "XDG_STATE_HOME": root + "/x"}, root + "/p/cluster"},
		{"then XDG", map[string]string{"XDG_STATE_HOME": root + "/x"}, root + "/x/pipe/cluster"},
		{"then the home folder", nil, root + "/.local/state/pipe/cluster"},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, err := Default(func(k string) string { return x.env[k] })
			if err != nil || string(got) != x.want {
				t.Errorf("Default = %q, %v, want %q", got, err, x.want)
			}
		})
	}
}

func TestNewFollowsLinks(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := New(filepath.Join(root, "link", "not", "yet"))
	if want := Dir(filepath.Join(root, "real", "not", "yet")); err != nil || got != want {
		t.Errorf("New = %q, %v, want %q", got, err, want)
	}
}

func TestState(t *testing.T) {
	d := Dir(t.TempDir())
	if s, err := d.ReadState(); err != nil || s.Phase != "" {
		t.Errorf("ReadState of nothing = %+v, %v", s, err)
	}
	want := State{
		Phase: Running, Why: "w", Doing: "d", Supervisor: proc.ID{PID: 1, Start: 2},
		Children: []Child{{Name: "c", ID: proc.ID{PID: 3}, State: ChildRunning}},
	}
	if err := d.WriteState(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.ReadState()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("ReadState: %v\n%s", err, diff)
	}
	for _, text := range []string{"", "{", "null", "{}", `{"phase": "asleep", "node": "big"}`} {
		for _, file := range []string{"state.json", "cluster.json"} {
			if err := os.WriteFile(d.Path(file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.ReadState(); !errors.Is(err, ErrDamaged) {
			t.Errorf("ReadState of %q = %v, want %v", text, err, ErrDamaged)
		}
		if _, _, err := d.ReadConfig(); !errors.Is(err, ErrDamaged) {
			t.Errorf("ReadConfig of %q = %v, want %v", text, err, ErrDamaged)
		}
	}
	if left, _ := filepath.Glob(d.Path(".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrHeld) {
		t.Errorf("TryLock of a held lock = %v, want %v", err, ErrHeld)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	told := 0
	if _, err := WaitLock(ctx, path, func() { told++; cancel(errors.New("too long")) }); err == nil || err.Error() != "too long" || told != 1 {
		t.Errorf("WaitLock of a held lock = %v, told %d times", err, told)
	}
	// The holder may remove the whole directory, as `down` does: a waiter must not get a lock on a
	// removed file.
	got := make(chan error, 1)
	var second *Lock
	waiting := make(chan struct{})
	go func() {
		var err error
		second, err = WaitLock(t.Context(), path, func() { close(waiting) })
		got <- err
	}()
	<-waiting
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	l.Unlock()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrHeld) {
		t.Errorf("the second holder does not hold what is there: %v", err)
	}
	second.Unlock()
}

func TestSupervisorAlive(t *testing.T) {
	d := Dir(t.TempDir())
	check := func(want bool) {
		t.Helper()
		if got, err := d.SupervisorAlive(); got != want || err != nil {
			t.Errorf("SupervisorAlive = %v, %v, want %v", got, err, want)
		}
	}
	check(false)
	l, err := TryLock(d.SupervisorLock())
	if err != nil {
		t.Fatal(err)
	}
	check(true)
	l.Unlock()
	check(false)
}
