package background

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// child is what this test binary does when a test runs it as a process of its own.
type childArgs struct {
	Do      string // ensure, or a behaviour of the background process
	Dir     string
	Version string
	Idle    time.Duration
	Start   time.Duration
}

const childFlag = "-background-child="

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], childFlag) {
		var c childArgs
		err := json.Unmarshal([]byte(strings.TrimPrefix(os.Args[1], childFlag)), &c)
		if err == nil {
			err = c.run(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (c childArgs) arg() string {
	data, _ := json.Marshal(c)
	return childFlag + string(data)
}

func (c childArgs) process() Process {
	serve := c
	serve.Do = "serve"
	if c.Do != "" && c.Do != "ensure" {
		serve.Do = c.Do
	}
	return Process{
		Name: "test", Dir: c.Dir, Args: []string{serve.arg()}, Version: c.Version,
		Env: append(os.Environ(), "GORACE=atexit_sleep_ms=0"), // or each end takes a second with the race detector
	}
}

func (c childArgs) run(ctx context.Context) error {
	if c.Do == "ensure" {
		a, err := c.process().Ensure(ctx)
		if err != nil {
			return err
		}
		fmt.Println(a.PID)
		return nil
	}
	if c.Do == "die" {
		fmt.Println("the disk is on fire")
		os.Exit(3)
	}
	if c.Do == "help" {
		fmt.Println("usage")
		os.Exit(0)
	}
	o := Options{Name: "test", Dir: c.Dir, Version: c.Version, Idle: c.Idle, Start: c.Start}
	return Serve(ctx, o, func(ctx context.Context, ready func(string) error, activity *Activity) error {
		// One line for each life, to count them.
		lives, err := os.OpenFile(filepath.Join(c.Dir, "lives"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		fmt.Fprintln(lives, os.Getpid())
		lives.Close()
		switch c.Do {
		case "fail":
			return errors.New("no space left on device")
		case "never ready":
			<-ctx.Done()
			return ctx.Err()
		case "deaf":
			ctx = context.WithoutCancel(ctx)
		case "note":
			activity.Note("something was damaged, and is made good")
		case "environment":
			fmt.Println("ENV", os.Environ())
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		if err := ready(l.Addr().String()); err != nil {
			return err
		}
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil //nolint:nilerr // it is closed when it is to end
			}
			fmt.Fprintln(conn, os.Getpid())
			conn.Close()
		}
	})
}

// ask returns the process identifier that answers at addr.
func ask(addr string) (int, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	data, err := io.ReadAll(conn)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

func ensure(t *testing.T, p Process) *Attached {
	t.Helper()
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	a, err := p.Ensure(t.Context())
	if err != nil {
		t.Fatalf("Ensure = %v", err)
	}
	t.Cleanup(a.Release)
	pid, err := ask(a.Addr)
	if err != nil || pid != a.PID {
		t.Fatalf("at %s answers %d, %v; want %d", a.Addr, pid, err, a.PID)
	}
	return a
}

// kill kills the process and waits until it is gone: that takes the system
// moments, in which it may answer once more.
func kill(t *testing.T, p Process, pid int) {
	t.Helper()
	if err := killNow(pid); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { s, err := p.Status(); return err == nil && s.PID != pid })
}

func killNow(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("after a minute it is not so: %s", what)
}

func lives(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "lives"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

func TestEnsureStartsThenAttaches(t *testing.T) {
	t.Parallel()
	c := childArgs{Dir: t.TempDir()}
	var said []string
	p := c.process()
	p.Progress = func(what string) { said = append(said, what) }
	first := ensure(t, p)
	second := ensure(t, p)
	if first.PID != second.PID || first.Addr != second.Addr {
		t.Errorf("first Ensure = %+v, second %+v; want the same process", first, second)
	}
	if len(said) != 1 || said[0] != "starting" {
		t.Errorf("progress = %q, want one: starting", said)
	}
	s, err := p.Status()
	if err != nil || s.State != Ready || s.PID != first.PID || s.Addr != first.Addr {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := p.Status(); err != nil || s.State != Absent {
		t.Errorf("Status after Stop = %+v, %v", s, err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "test.addr")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("address file after Stop: %v, want none", err)
	}
	if info, err := os.Stat(c.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %v, %v; want 0700", info.Mode(), err)
	}
}

func TestConcurrentEnsureStartsOne(t *testing.T) {
	t.Parallel()
	c := childArgs{Do: "ensure", Dir: t.TempDir()}
	t.Cleanup(func() { _ = c.process().Stop(context.Background()) })
	pids := make([]string, 16)
	var wait sync.WaitGroup
	for i := range pids {
		wait.Go(func() {
			if i%2 == 0 {
				a, err := c.process().Ensure(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				pids[i] = strconv.Itoa(a.PID)
				return
			}
			out, err := exec.Command(os.Args[0], c.arg()).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			pids[i] = strings.TrimSpace(string(out))
		})
	}
	wait.Wait()
	if all := lives(t, c.Dir); len(all) != 1 {
		t.Errorf("%d processes were started, want 1", len(all))
	}
	for i, pid := range pids {
		if pid != pids[0] {
			t.Errorf("caller %d got process %s, caller 0 got %s", i, pid, pids[0])
		}
	}
}

// A process that was killed leaves all its files behind, and its number may be
// that of another process by now: here of this test.
func TestLeftOverFilesAreNotAProcess(t *testing.T) {
	t.Parallel()
	c := childArgs{Dir: t.TempDir()}
	p := c.process()
	first := ensure(t, p)
	kill(t, p, first.PID)
	for _, name := range []string{"test.addr", "test.lock"} {
		file, err := os.OpenFile(filepath.Join(c.Dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := (record{PID: os.Getpid(), Addr: first.Addr}).write(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	if err := p.Stop(t.Context()); err != nil { // must not end this test
		t.Fatal(err)
	}
	if second := ensure(t, p); second.PID == first.PID || second.PID == os.Getpid() {
		t.Errorf("Ensure = %+v, want a new process", second)
	}
}

// A process that lives writes again what it has written about itself: who comes to
// use it or to end it waits for that.
func TestDamagedFilesOfALiveProcess(t *testing.T) {
	t.Parallel()
	for _, damage := range []string{"", "garbage", `{"pid":0}`, "{"} {
		t.Run(damage, func(t *testing.T) {
			t.Parallel()
			c := childArgs{Dir: t.TempDir()}
			p := c.process()
			first := ensure(t, p)
			spoil := func() {
				for _, name := range []string{"test.addr", "test.lock", "test.use", "test.start"} {
					if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(damage), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			spoil()
			second := ensure(t, p)
			if second.PID != first.PID || second.Addr != first.Addr {
				t.Errorf("Ensure = %+v, want %+v", second, first)
			}
			spoil()
			if err := p.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if all := lives(t, c.Dir); len(all) != 1 {
				t.Errorf("%d processes were started, want 1", len(all))
			}
		})
	}
}

// What a process has to tell is told to whoever started it.
func TestNotes(t *testing.T) {
	t.Parallel()
	p := childArgs{Do: "note", Dir: t.TempDir()}.process()
	if a := ensure(t, p); len(a.Notes) != 1 || a.Notes[0] != "something was damaged, and is made good" {
		t.Errorf("notes = %q", a.Notes)
	}
	if a := ensure(t, p); len(a.Notes) != 0 {
		t.Errorf("notes for another caller = %q, want none", a.Notes)
	}
}

func TestDiesWhileStarting(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ do, want string }{
		{"help", "background test: it ended while starting (exit status 0) after printing:\nusage\nall of its log is in LOG"},
		{"die", "background test: it ended while starting (exit status 3) after printing:\nthe disk is on fire\nall of its log is in LOG"},
		{"fail", "background test: no space left on device (its log is LOG)"},
		{"never ready", "background test: not ready in time: 50ms (its log is LOG)"},
	} {
		t.Run(row.do, func(t *testing.T) {
			t.Parallel()
			c := childArgs{Do: row.do, Dir: t.TempDir()}
			if row.do == "never ready" { // the others end in their own time
				c.Start = 50 * time.Millisecond
			}
			want := strings.ReplaceAll(row.want, "LOG", filepath.Join(c.Dir, "test.log"))
			for range 2 { // the second must not show the log of the first
				_, err := c.process().Ensure(t.Context())
				if err == nil || err.Error() != want {
					t.Fatalf("Ensure = %v\nwant %s", err, want)
				}
			}
			good := childArgs{Dir: c.Dir}
			ensure(t, good.process())
		})
	}
}

func TestExecutableMissing(t *testing.T) {
	t.Parallel()
	p := Process{Name: "test", Dir: t.TempDir(), Executable: "/nowhere/pipe"}
	_, err := p.Ensure(t.Context())
	if want := "background test: start /nowhere/pipe: fork/exec /nowhere/pipe: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("Ensure = %v, want %s", err, want)
	}
}

func TestStarterKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	c := childArgs{Do: "ensure", Dir: t.TempDir()}
	for i := range 40 {
		cmd := exec.Command(os.Args[0], c.arg())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		a := ensure(t, c.process())
		a.Release()
		if i%2 == 0 {
			kill(t, c.process(), a.PID)
		} else if err := c.process().Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProcessKilledWhileCallersCome(t *testing.T) {
	t.Parallel()
	c := childArgs{Dir: t.TempDir()}
	p := c.process()
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	deadline := time.Now().Add(3 * time.Second)
	var wait sync.WaitGroup
	var mu sync.Mutex
	killed := map[int]bool{} // guarded by mu
	for range 6 {
		wait.Go(func() {
			for time.Now().Before(deadline) {
				a, err := p.Ensure(t.Context())
				if err != nil {
					if !strings.Contains(err.Error(), "signal: killed") {
						t.Error(err)
					}
					continue
				}
				pid, err := ask(a.Addr)
				mu.Lock()
				if pid != a.PID && !killed[a.PID] {
					t.Errorf("at the address of process %d answers %d, %v", a.PID, pid, err)
				}
				mu.Unlock()
				a.Release()
			}
		})
	}
	wait.Go(func() {
		for i := 0; time.Now().Before(deadline); i++ {
			time.Sleep(time.Duration(i*7%23) * time.Millisecond)
			s, err := p.Status()
			if err != nil {
				t.Error(err)
			}
			if s.PID == 0 {
				continue
			}
			mu.Lock()
			killed[s.PID] = true
			_ = killNow(s.PID)
			mu.Unlock()
		}
	})
	wait.Wait()
	if err := p.Stop(t.Context()); err != nil { // or the one that was killed last answers once more
		t.Fatal(err)
	}
	ensure(t, p)
	t.Logf("%d lives", len(lives(t, c.Dir)))
}

func TestVersions(t *testing.T) {
	t.Parallel()
	c := childArgs{Dir: t.TempDir(), Version: "1"}
	first := ensure(t, c.process())
	c.Version = "2"
	_, err := c.process().Ensure(t.Context())
	var other *VersionError
	want := fmt.Sprintf("background test: test of version 1 (process %d) is in use by another pipe, and this one needs version 2: "+
		"wait until the other one has ended, or stop it", first.PID)
	if !errors.As(err, &other) || err.Error() != want {
		t.Fatalf("Ensure = %v\nwant %s", err, want)
	}
	if pid, err := ask(first.Addr); err != nil || pid != first.PID {
		t.Fatalf("the other's process answers %d, %v", pid, err)
	}
	first.Release()
	second := ensure(t, c.process())
	if second.PID == first.PID || second.Version != "2" {
		t.Errorf("Ensure = %+v, want a process of version 2", second)
	}
}

func TestIdleProcessEnds(t *testing.T) {
	t.Parallel()
	c := childArgs{Dir: t.TempDir(), Idle: 40 * time.Millisecond}
	p := c.process()
	a := ensure(t, p)
	time.Sleep(200 * time.Millisecond) // many times Idle, in use
	if pid, err := ask(a.Addr); err != nil || pid != a.PID {
		t.Fatalf("while it is in use, answers %d, %v", pid, err)
	}
	a.Release()
	eventually(t, "it has ended", func() bool { s, err := p.Status(); return err == nil && s.State == Absent })
}

// Callers come as the process ends: none may get an address that does not answer.
func TestIdleProcessEndsWhileCallersCome(t *testing.T) {
	t.Parallel()
	c := childArgs{Dir: t.TempDir(), Idle: 3 * time.Millisecond}
	var wait sync.WaitGroup
	for i := range 3 {
		wait.Go(func() {
			for j := range 40 {
				a, err := c.process().Ensure(t.Context())
				if err != nil {
					t.Error(err)
					continue
				}
				if pid, err := ask(a.Addr); err != nil || pid != a.PID {
					t.Errorf("at the address of process %d answers %d, %v", a.PID, pid, err)
				}
				a.Release()
				time.Sleep(time.Duration((i+j)%7) * time.Millisecond)
			}
		})
	}
	wait.Wait()
	_ = c.process().Stop(context.Background())
	t.Logf("%d lives", len(lives(t, c.Dir)))
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	c := childArgs{Do: "deaf", Dir: t.TempDir()}
	p := c.process()
	a := ensure(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it is asked to end, and then no longer waited for
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if pid, err := ask(a.Addr); err == nil {
		t.Errorf("process %d answers after Stop", pid)
	}
}

func TestCancelledEnsureLeavesItStarting(t *testing.T) {
	t.Parallel()
	c := childArgs{Do: "never ready", Dir: t.TempDir()}
	p := c.process()
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	ctx, cancel := context.WithCancelCause(t.Context())
	context.AfterFunc(t.Context(), func() { cancel(nil) })
	go func() {
		eventually(t, "it is starting", func() bool { s, _ := p.Status(); return s.State == Starting })
		cancel(errors.New("interrupted"))
	}()
	_, err := p.Ensure(ctx)
	if want := "background test: starting: interrupted; its log is " + filepath.Join(c.Dir, "test.log"); err == nil || err.Error() != want {
		t.Errorf("Ensure = %v, want %s", err, want)
	}
	if s, err := p.Status(); err != nil || s.State != Starting {
		t.Errorf("Status = %+v, %v; want it starting", s, err)
	}
}

func TestSecretsStayBehind(t *testing.T) {
	t.Parallel()
	c := childArgs{Do: "environment", Dir: t.TempDir()}
	p := c.process()
	p.Env = []string{"PATH=/bin", "LC_ALL=C", "http_proxy=http://proxy", "AWS_SECRET_ACCESS_KEY=hunter2", "PIPE_SET=a=hunter2"}
	ensure(t, p)
	log, err := os.ReadFile(filepath.Join(c.Dir, "test.log"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(log), "ENV [PATH=/bin LC_ALL=C http_proxy=http://proxy]\n"; got != want {
		t.Errorf("it printed %q, want %q", got, want)
	}
}
