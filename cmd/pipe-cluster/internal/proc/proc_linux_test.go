package proc

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestAlive(t *testing.T) {
	if !Self().Alive() {
		t.Error("this process is not alive")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := Of(cmd.Process.Pid)
	if !id.Alive() || id.Name() != "sleep" {
		t.Errorf("%v, %q", id, id.Name())
	}
	if other := (ID{PID: id.PID, Start: id.Start + 1}); other.Alive() {
		t.Error("another process of the same number is taken for it")
	}
	_ = cmd.Process.Kill()
	if err := id.Wait(t.Context()); err != nil { // a zombie, until this process waits for it
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if id.Alive() || (ID{}).Alive() {
		t.Error("alive after its end")
	}
}

// firstThreadEnds makes the test binary end its first thread and go on.
const firstThreadEnds = "PROC_TEST_FIRST_THREAD_ENDS"

func init() {
	if os.Getenv(firstThreadEnds) == "" {
		return
	}
	runtime.LockOSThread() // init functions run on the first thread
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

// TestAliveWithoutFirstThread: a process whose first thread has ended is alive as long as it has
// another one.
func TestAliveWithoutFirstThread(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), firstThreadEnds+"=1", "GOMAXPROCS=2") // the ended thread keeps one
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := Of(cmd.Process.Pid)
	zombie := func() bool { f := stat(id.PID); return f != nil && f[0] == "Z" }
	for ; !zombie(); time.Sleep(10 * time.Millisecond) {
		if t.Context().Err() != nil {
			t.Fatal("the first thread does not end")
		}
	}
	if !id.Alive() {
		t.Error("not alive, though a thread is left")
	}
	_ = in.Close()
	if err := id.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestStop(t *testing.T) {
	for _, x := range []struct {
		name, script string
		grace        time.Duration
	}{
		{"ends when asked to", "sleep 60 & trap 'kill $!; exit 0' TERM; echo; wait", time.Minute},
		{"does not", "trap '' TERM; echo; while :; do sleep 1; done", time.Millisecond},
	} {
		t.Run(x.name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", x.script)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 1)); err != nil { // the trap is set
				t.Fatal(err)
			}
			id := Of(cmd.Process.Pid)
			if err := id.Stop(t.Context(), x.grace); err != nil || id.Alive() {
				t.Errorf("Stop = %v, alive %v", err, id.Alive())
			}
			if err := cmd.Wait(); (err == nil) != (x.grace == time.Minute) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestMarked(t *testing.T) {
	dir := t.TempDir()
	start := func(value string) ID {
		cmd := exec.Command("sleep", "60")
		cmd.Env = append(os.Environ(), Mark+"="+value)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return Of(cmd.Process.Pid)
	}
	ours := start(dir)
	start(dir + "2")
	// It has the environment of this process until it executes its program.
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && ours.Name() != "sleep"; time.Sleep(time.Millisecond) {
	}
	if got := Marked(dir); !slices.Equal(got, []ID{ours}) {
		t.Errorf("Marked = %v, want %v", got, ours)
	}
}
