//go:build linux

package daemon

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"

	"github.com/pipelinefile/pipe/internal/background"
)

func TestMain(m *testing.M) {
	// The test binary also acts as the pipe command: it starts itself as the daemon.
	if len(os.Args) > 2 && os.Args[1] == "daemon" && os.Args[2] == "buildkit" {
		if err := Main(context.Background(), os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// unavailable skips the test, or fails it if PIPE_TEST_REQUIRE includes BuildKit.
func unavailable(t testing.TB, err error) {
	t.Helper()
	for _, s := range strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ",") {
		if s == "buildkit" {
			t.Fatalf("buildkit is required and cannot be used: %v", err)
		}
	}
	t.Skipf("buildkit cannot be used: %v", err)
}

// start starts a separate BuildKit and stops it after the test.
func start(t testing.TB, b Background) (addr string, pid int) {
	t.Helper()
	a, err := b.Ensure(t.Context())
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(b.Home, "buildkit", "buildkit.log"))
			t.Logf("its log:\n%s", log)
		}
		a.Release()
		if err := b.Process().Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a.Addr, a.PID
}

// run makes BuildKit run a busybox command, and returns its error.
func run(ctx context.Context, t testing.TB, addr string, started func(), args ...string) error {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		unavailable(t, fmt.Errorf("there is no busybox: install the package busybox-static: %w", err))
	}
	c, err := client.New(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	shell := llb.Scratch().File(llb.Mkdir("/bin", 0o755)).File(llb.Mkfile("/bin/busybox", 0o755, busybox))
	def, err := shell.Run(llb.Args(append([]string{"/bin/busybox"}, args...)), llb.IgnoreCache).Marshal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	status := make(chan *client.SolveStatus)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for s := range status {
			if len(s.Logs) > 0 && started != nil {
				started()
				started = nil
			}
		}
	}()
	_, err = c.Solve(ctx, def, client.SolveOpt{}, status)
	<-told
	return err
}

func TestEnsure(t *testing.T) {
	b := Background{Home: t.TempDir()}
	addr, pid := start(t, b)
	if err := run(t.Context(), t, addr, nil, "true"); err != nil {
		t.Error(err)
	}
	again, err := b.Ensure(t.Context())
	if err != nil || again.PID != pid || again.Addr != addr {
		t.Errorf("Ensure again = %+v, %v, want process %d", again, err, pid)
	}
	again.Release()
	if err := b.Process().Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if left := leftBelow(t, b.Home); left != "" {
		t.Errorf("stopped, it leaves %s", left)
	}
	// The cache outlives the process.
	addr, _ = start(t, b)
	if err := run(t.Context(), t, addr, nil, "true"); err != nil {
		t.Error(err)
	}
}

// TestCacheIsBounded checks the garbage collection policy of BuildKit.
func TestCacheIsBounded(t *testing.T) {
	addr, _ := start(t, Background{Home: t.TempDir()})
	c, err := client.New(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	workers, err := c.ListWorkers(t.Context())
	if err != nil || len(workers) != 1 {
		t.Fatalf("%d workers, %v, want one", len(workers), err)
	}
	policy := workers[0].GCPolicy
	if last := policy[len(policy)-1]; !last.All || last.MaxUsedSpace != 20<<30 || last.MinFreeSpace == 0 {
		t.Errorf("the last rule is %+v, want all within 20 GiB and something left free", last)
	}
}

// TestServeTwice starts a second BuildKit on the same root, which would wait forever.
func TestServeTwice(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user cannot call Serve itself")
	}
	b := Background{Home: t.TempDir()}
	_, pid := start(t, b)
	root := filepath.Join(b.Home, "buildkit", "root")
	err := serveAt(t.Context(), options{Root: root})
	want := fmt.Sprintf("%s is in use by another BuildKit (process %d): resource temporarily unavailable", root, pid)
	if err == nil || err.Error() != want {
		t.Errorf("Serve = %v\nwant %s", err, want)
	}
}

// TestServeLongPath uses a root whose path is too long for a socket.
func TestServeLongPath(t *testing.T) {
	b := Background{Home: filepath.Join(t.TempDir(), strings.Repeat("long", 30))}
	addr, _ := start(t, b)
	if err := run(t.Context(), t, addr, nil, "true"); err != nil {
		t.Error(err)
	}
	path := strings.TrimPrefix(addr, "unix://")
	if err := b.Process().Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("the folder of the socket %s is left: %v", path, err)
	}
}

// TestStopWhileBuilding stops BuildKit during a build, which cleans up.
func TestStopWhileBuilding(t *testing.T) {
	b := Background{Home: t.TempDir()}
	addr, _ := start(t, b)
	stopped := make(chan error, 1)
	err := run(t.Context(), t, addr, func() {
		go func() { stopped <- b.Process().Stop(context.Background()) }()
	}, "sh", "-c", "echo started; exec /bin/busybox sleep 1000")
	if err == nil {
		t.Error("the build was not ended")
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if left := leftBelow(t, b.Home); left != "" {
		t.Errorf("stopped, it leaves %s", left)
	}
}

// TestSweep kills BuildKit during a build: the container continues to run, and its file
// system stays mounted until the next BuildKit starts.
func TestSweep(t *testing.T) {
	b := Background{Home: t.TempDir()}
	addr, pid := start(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := run(ctx, t, addr, func() {
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Error(err)
			return
		}
		if err := process.Kill(); err != nil {
			t.Error(err)
		}
	}, "sh", "-c", "echo started; exec /bin/busybox sleep 1000")
	if err == nil {
		t.Error("the build outlived BuildKit")
	}
	left := leftBelow(t, b.Home)
	if !strings.Contains(left, "executor") {
		t.Errorf("the test is of no use: the killed BuildKit left only %q", left)
	}
	gone(t, b)
	containers := bundles(filepath.Join(b.Home, "buildkit", "root"))
	addr, _ = start(t, b)
	if left := leftBelow(t, b.Home); left != "" {
		t.Errorf("the next BuildKit leaves %s", left)
	}
	for _, c := range containers {
		if out, err := exec.Command("runc", "state", filepath.Base(c)).CombinedOutput(); err == nil {
			t.Errorf("container %s is left: %s", c, out)
		}
	}
	if err := run(t.Context(), t, addr, nil, "true"); err != nil {
		t.Error(err)
	}
}

// TestIdle checks that an unused BuildKit ends, and that one in use does not.
func TestIdle(t *testing.T) {
	b := Background{Home: t.TempDir(), Idle: 2 * time.Second}
	a, err := b.Ensure(t.Context())
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(func() {
		if err := b.Process().Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 {
		connectedOnly(t, b, a)
	}
	a.Release()
	gone(t, b)
	if left := leftBelow(t, b.Home); left != "" {
		t.Errorf("it leaves %s", left)
	}
}

// gone waits until the process has ended.
func gone(t *testing.T, b Background) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		s, err := b.Process().Status()
		if err != nil {
			t.Fatal(err)
		}
		if s.PID == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("BuildKit does not end: %+v", s)
		}
	}
}

// connectedOnly checks that a client with only a connection counts as a user. In a user
// namespace, connections are not counted.
func connectedOnly(t *testing.T, b Background, a *background.Attached) {
	c, err := client.New(t.Context(), a.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Release()
	time.Sleep(2 * b.Idle) // nothing must happen in the meantime
	if s, err := b.Process().Status(); err != nil || s.PID != a.PID {
		t.Fatalf("BuildKit ended though it was used: %+v, %v", s, err)
	}
}

// TestLogIsAFile checks that BuildKit prints only to its log.
func TestLogIsAFile(t *testing.T) {
	b := Background{Home: t.TempDir()}
	addr, _ := start(t, b)
	_ = run(t.Context(), t, addr, nil, "false")
	status, err := b.Process().Status()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(status.Log); err != nil {
		t.Error(err)
	}
}

// leftBelow returns the containers and the mounts below a directory.
func leftBelow(t testing.TB, home string) string {
	t.Helper()
	mounts, err := mountsBelow(home)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(mounts, bundles(filepath.Join(home, "buildkit", "root"))...), " ")
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"--home="}, {"--home=x", "y"}} {
		if err := Main(t.Context(), args); err == nil {
			t.Errorf("Main(%q) = nil", args)
		}
	}
	if err := Main(t.Context(), []string{"--home=" + t.TempDir(), "--inside=1"}); err == nil {
		t.Error("Main --inside = nil outside of a user namespace")
	}
}

func TestPrograms(t *testing.T) {
	for _, test := range []struct {
		there    string
		rootless bool
		want     string
	}{
		{"runc git", false, ""},
		{"git", false, "building images needs runc, which is not there: install it (Debian, Ubuntu: sudo apt-get install runc), " +
			"or use a BuildKit that you have"},
		{"runc git rootlesskit", true, "building images as an ordinary user needs newuidmap, newgidmap, which is not there: " +
			"install it (Debian, Ubuntu: sudo apt-get install uidmap), or use a BuildKit that you have"},
		{"runc git rootlesskit newuidmap newgidmap", true, ""},
	} {
		err := programs(test.rootless, func(program string) (string, bool) {
			return program, slices.Contains(strings.Fields(test.there), program)
		})
		if got := fmt.Sprint(err); got != cmp.Or(test.want, "<nil>") {
			t.Errorf("with %s: %s\nwant %s", test.there, got, test.want)
		}
	}
}

func TestHasRange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	if err := os.WriteFile(file, []byte("a:100000:65536\n1002:200000:65536\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		u    user.User
		want bool
	}{
		{user.User{Username: "a", Uid: "1001"}, true},
		{user.User{Username: "b", Uid: "1002"}, true},
		{user.User{Username: "c", Uid: "1003"}, false},
	} {
		if got := hasRange(file, &test.u); got != test.want {
			t.Errorf("hasRange(%+v) = %v", test.u, got)
		}
	}
	if hasRange(file+"x", &user.User{Username: "a"}) {
		t.Error("without a file somebody has a range")
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`/a`: "/a", `/a\040b\134`: `/a b\`, `\04`: `\04`} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}
