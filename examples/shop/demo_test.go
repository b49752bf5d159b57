package shop_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDemo runs what "make demo" and "make demo-stop" run, on real pods and an
// empty $PIPE_HOME: a page with rows from PostgreSQL, nothing to do the second
// time, one service after a change, and nothing left at the end.
func TestDemo(t *testing.T) {
	needReal(t)
	home, err := os.MkdirTemp("", "pd") //nolint:usetesting // short: it holds unix sockets
	if err != nil {
		t.Fatal(err)
	}
	stop := func() ([]byte, error) {
		return script(t, home, "demo-stop.sh").CombinedOutput()
	}
	t.Cleanup(func() {
		if out, err := stop(); err != nil {
			t.Errorf("demo-stop.sh: %v\n%s", err, out)
		}
		os.RemoveAll(home)
	})

	free(t, home)
	first := demo(t, home)
	for _, want := range []string{"The Corner Shop", "Teapot", "Umbrella"} {
		if !strings.Contains(first, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if got := outcome(first); got != "5 done" {
		t.Errorf("the first run: %s, want 5 done", got)
	}
	if got := len(progress.FindAllString(first, -1)); got != 5 {
		t.Errorf("the progress of %d services is told to its end, want 5", got)
	}

	again := demo(t, home)
	if got := outcome(again); got != "5 unchanged" {
		t.Errorf("the second run: %s, want 5 unchanged", got)
	}

	changed := demo(t, home, "--set", "title=Tea & Tools")
	if got := outcome(changed); got != "1 done, 4 unchanged" {
		t.Errorf("a run with another title: %s, want 1 done, 4 unchanged", got)
	}
	if !strings.Contains(changed, "Tea & Tools") {
		t.Error("the page does not show the other title")
	}

	watched(t, home)

	if out, err := stop(); err != nil {
		t.Fatalf("demo-stop.sh: %v\n%s", err, out)
	}
	if left := processes(t, home); len(left) > 0 {
		t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), home) {
		t.Errorf("a mount is left below %s", home)
	}
}

// watched changes a source while watch mode runs on a copy of the shop: the page
// shows the change, and nothing but web is deployed.
func watched(t *testing.T, home string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	params, err := exec.Command("../../bin/images", "up", "-dir", filepath.Join(home, "demo", "images")).Output()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--local", "--env", "demo", "--watch", "--progress", "plain", "--secrets", filepath.Join(home, "demo", "secrets.env")}
	for _, param := range strings.Fields(string(params)) {
		args = append(args, "--set", param)
	}
	watch := exec.Command("../../bin/pipe", append(args, filepath.Join(dir, "Pipelinefile"))...)
	watch.Env = append(os.Environ(), "PIPE_HOME="+home)
	var said lockedBuffer
	watch.Stdout, watch.Stderr = &said, &said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	settled := func(times int) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Minute); strings.Count(said.String(), "watching: everything is deployed") < times; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it does not settle %d times:\n%s", times, said.String())
			}
		}
	}
	settled(1)
	page := filepath.Join(dir, "web", "page.html")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before := said.String()
	save(t, page, strings.Replace(string(text), "<h1>", "<h1>Saved: ", 1))
	settled(2)
	if out, err := exec.Command("../../bin/visit", "-kubeconfig", filepath.Join(home, "cluster", "kubeconfig"), "-namespace", "shop-demo", "-service", "web").CombinedOutput(); err != nil || !strings.Contains(string(out), "Saved: ") {
		t.Errorf("the page after a save: %v\n%s", err, out)
	}
	if since := strings.TrimPrefix(said.String(), before); strings.Contains(since, "api ") || !strings.Contains(since, "changed: web/page.html") {
		t.Errorf("a save of web said:\n%s", since)
	}
	if err := watch.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); watch.ProcessState.ExitCode() != 130 {
		t.Errorf("watch mode ended with %v\n%s", err, said.String())
	}
}

// save replaces a file as editors do.
func save(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// A lockedBuffer is written by a process and read meanwhile.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// needReal ends the test unless the one real cluster of this machine may be taken, and where there can be none.
func needReal(t *testing.T) {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "real") {
		t.Skip("it takes the one real cluster of this machine: PIPE_TEST_REQUIRE does not name real")
	}
	if goruntime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Fatal("a real node needs Linux and root")
	}
}

// free waits until no other test has the real cluster.
func free(t *testing.T, home string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(2 * time.Second) { // the other one tells nobody when it ends
		dir := filepath.Join(home, "free")
		out, err := exec.Command("../../bin/pipe-cluster", "up", "--node", "real", "--dir", dir).CombinedOutput()
		if down, downErr := exec.Command("../../bin/pipe-cluster", "down", "--dir", dir).CombinedOutput(); downErr != nil {
			t.Fatalf("pipe-cluster down: %v\n%s", downErr, down)
		}
		if err == nil {
			return
		}
		if !strings.Contains(string(out), "this machine has a real cluster already") || time.Now().After(deadline) {
			t.Fatalf("pipe-cluster up: %v\n%s", err, out)
		}
	}
}

func script(t *testing.T, home, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bash", append([]string{filepath.Join("..", "..", "scripts", name)}, args...)...)
	cmd.Env = append(os.Environ(), "PIPE_HOME="+home, "NO_COLOR=1")
	return cmd
}

// demo runs the demo and returns what it said.
func demo(t *testing.T, home string, args ...string) string {
	t.Helper()
	said, err := script(t, home, "demo.sh", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("demo.sh: %v\n%s", err, said)
	}
	t.Logf("demo.sh %s\n%s", strings.Join(args, " "), said)
	return string(said)
}

// progress matches the last line that is told while a service is deployed. That a run
// is never silent for long is tested with the view, in virtual time.
var progress = regexp.MustCompile(`(?m)^ *[0-9:]+  [a-z-]+ +\| done after `)

var summary = regexp.MustCompile(`(?m)^deploy shop-demo: (.*), in `)

// outcome returns how the services ended, as the last line of the result counts them.
func outcome(said string) string {
	if m := summary.FindStringSubmatch(said); m != nil {
		return m[1]
	}
	return "no result"
}

// processes lists those that have the folder among their arguments or in their environment: a test beside this one may have
// others. What else a cluster must not leave behind is tested with pipe-cluster.
func processes(t *testing.T, home string) []string {
	t.Helper()
	var found []string
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if dir == "/proc/"+strconv.Itoa(os.Getpid()) {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err == nil && bytes.Contains(data, []byte(home)) {
				found = append(found, filepath.Base(dir)+" "+string(bytes.ReplaceAll(data, []byte{0}, []byte{' '})))
				break
			}
		}
	}
	return found
}
