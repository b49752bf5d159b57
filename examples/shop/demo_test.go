package shop_test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
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

	first := firstDemo(t, home)
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
	synced(t, home)

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
	params := images(t, home)
	args := []string{"--env", "demo", "--secrets", filepath.Join(home, "demo", "secrets.env")}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		args = append(args, "--set", name+"="+params[name])
	}
	w := watch(t, home, ".", args...)
	w.settled(1)
	page := filepath.Join(w.dir, "web", "page.html")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before := w.said.String()
	save(t, page, strings.Replace(string(text), "<h1>", "<h1>Saved: ", 1))
	w.settled(2)
	if out, err := exec.Command("../../bin/visit", "-kubeconfig", filepath.Join(home, "cluster", "kubeconfig"), "-namespace", "shop-demo", "-service", "web").CombinedOutput(); err != nil || !strings.Contains(string(out), "Saved: ") {
		t.Errorf("the page after a save: %v\n%s", err, out)
	}
	if since := strings.TrimPrefix(w.said.String(), before); strings.Contains(since, "api ") || !strings.Contains(since, "changed: web/page.html") {
		t.Errorf("a save of web said:\n%s", since)
	}
	w.end()
}

// synced changes files that sync= has copied while watch mode runs on a copy of
// examples/live: they are in the container without a build, also in a new one, and
// in one that is restarted before its program starts. The next file that no rule
// matches is built with all of them.
func synced(t *testing.T, home string) {
	t.Helper()
	args := []string{"--env", "live"}
	if params := images(t, home); params["images"] != "" {
		args = append(args, "--set", "base="+params["images"]+"/redis:"+params["redis"])
	}
	w := watch(t, home, "../live", args...)
	w.settled(1)
	pages := filepath.Join(w.dir, "site", "pages")
	inside := func(script string) *exec.Cmd {
		cmd := exec.Command("../../bin/pipe", "exec", "--local", "--pipeline", "live", "live", "site", "--", "sh", "-c", script)
		cmd.Env = append(os.Environ(), "PIPE_HOME="+home)
		return cmd
	}

	var took []time.Duration
	for i := range 10 {
		text := fmt.Sprintf("<p>Saved for the %d. time", i)
		wait := inside("echo waiting; for i in $(seq 3000); do grep -qF '" + text + "' /pages/index.html && cat /proc/uptime && exit; sleep 0.01; done; exit 1")
		out, err := wait.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := wait.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan()                           // it waits
		up, err := os.ReadFile("/proc/uptime") // the clock that the container has, too
		if err != nil {
			t.Fatal(err)
		}
		save(t, filepath.Join(pages, "index.html"), text)
		if !lines.Scan() {
			t.Fatalf("the %d. save does not arrive: %v\n%s", i, wait.Wait(), w.said.String())
		}
		took = append(took, uptime(t, lines.Text())-uptime(t, string(up)))
		if err := wait.Wait(); err != nil {
			t.Fatal(err)
		}
		w.settled(i + 2)
	}
	slices.Sort(took)
	t.Logf("from a save to the file in the container: median %s, worst %s of %d", took[len(took)/2], took[len(took)-1], len(took))

	save(t, filepath.Join(pages, "new.html"), "new")
	w.settled(12)
	if err := os.Rename(filepath.Join(pages, "new.html"), filepath.Join(pages, "moved.html")); err != nil {
		t.Fatal(err)
	}
	w.settled(13)
	restart := exec.Command("../../bin/pipe", "restart", "--local", "--progress", "quiet", "--pipeline", "live", "live")
	restart.Env = append(os.Environ(), "PIPE_HOME="+home)
	if out, err := restart.CombinedOutput(); err != nil {
		t.Fatalf("pipe restart: %v\n%s", err, out)
	}
	w.says(regexp.MustCompile(`(?s)deleted in .*everything is deployed.*deleted in `)) // into the new container
	const check = "for i in $(seq 300); do [ -e /pages/moved.html ] && [ ! -e /pages/new.html ] && exit; sleep 0.1; done; exit 1"
	if out, err := inside(check).CombinedOutput(); err != nil {
		t.Errorf("the files of the new container: %v\n%s\n%s", err, out, w.said.String())
	}
	start := filepath.Join(w.dir, "site", "start.sh")
	program, err := os.ReadFile(start)
	if err != nil {
		t.Fatal(err)
	}
	save(t, start, strings.Replace(string(program), "the first start.sh", "another start.sh", 1))
	w.says(regexp.MustCompile(`(?s)changed: site/start.sh.*restarted with that.*everything is deployed`))
	if out, err := inside("grep -q 'another start.sh' /pages/started.html && " + check).CombinedOutput(); err != nil {
		t.Errorf("what the restarted program has done: %v\n%s\n%s", err, out, w.said.String())
	}
	if n := strings.Count(w.said.String(), "building"); n > 1 {
		t.Errorf("%d builds, want the first one alone:\n%s", n, w.said.String())
	}

	dockerfile := filepath.Join(w.dir, "site", "Dockerfile")
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	save(t, dockerfile, string(text)+"LABEL changed=yes\n")
	w.says(regexp.MustCompile(`(?s)changed: site/Dockerfile.*building.*everything is deployed`))
	if out, err := inside(check).CombinedOutput(); err != nil {
		t.Errorf("the files of the new image: %v\n%s\n%s", err, out, w.said.String())
	}
	w.end()
}

// uptime returns the first number of /proc/uptime.
func uptime(t *testing.T, text string) time.Duration {
	t.Helper()
	first, _, _ := strings.Cut(text, " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		t.Fatalf("/proc/uptime is %q: %v", text, err)
	}
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond)
}

// images returns the parameters that say where the base images are.
func images(t *testing.T, home string) map[string]string {
	t.Helper()
	out, err := exec.Command("../../bin/images", "up", "-dir", filepath.Join(home, "demo", "images")).Output()
	if err != nil {
		t.Fatal(err)
	}
	params := make(map[string]string)
	for _, param := range strings.Fields(string(out)) {
		name, value, _ := strings.Cut(param, "=")
		params[name] = value
	}
	return params
}

// A watching is watch mode at work on a copy of an example.
type watching struct {
	*testing.T
	dir  string
	cmd  *exec.Cmd
	said lockedBuffer
}

// watch starts watch mode on a copy of the example in dir.
func watch(t *testing.T, home, dir string, args ...string) *watching {
	t.Helper()
	w := &watching{T: t, dir: t.TempDir()}
	if err := os.CopyFS(w.dir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"run", "--local", "--watch", "--progress", "plain"}, args...)
	w.cmd = exec.Command("../../bin/pipe", append(args, filepath.Join(w.dir, "Pipelinefile"))...)
	w.cmd.Env = append(os.Environ(), "PIPE_HOME="+home)
	w.cmd.Stdout, w.cmd.Stderr = &w.said, &w.said
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill() }) // unless it has ended
	return w
}

// settled waits until everything was deployed for the n-th time.
func (w *watching) settled(n int) {
	w.Helper()
	w.until(fmt.Sprintf("settle %d times", n), func(said string) bool {
		return strings.Count(said, "watching: everything is deployed") >= n
	})
}

// says waits until what was said matches.
func (w *watching) says(what *regexp.Regexp) {
	w.Helper()
	w.until("say "+what.String(), what.MatchString)
}

func (w *watching) until(what string, is func(said string) bool) {
	w.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(w.said.String()); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("it does not %s:\n%s", what, w.said.String())
		}
	}
}

// end interrupts watch mode.
func (w *watching) end() {
	w.Helper()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		w.Fatal(err)
	}
	if err := w.cmd.Wait(); w.cmd.ProcessState.ExitCode() != 130 {
		w.Errorf("watch mode ended with %v\n%s", err, w.said.String())
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
	for deadline := time.Now().Add(20 * time.Minute); ; time.Sleep(2 * time.Second) { // the other one tells nobody when it ends
		dir := filepath.Join(home, "free")
		out, err := exec.Command("../../bin/pipe-cluster", "up", "--node", "real", "--dir", dir).CombinedOutput()
		if down, downErr := exec.Command("../../bin/pipe-cluster", "down", "--dir", dir).CombinedOutput(); downErr != nil {
			t.Fatalf("pipe-cluster down: %v\n%s", downErr, down)
		}
		if err == nil {
			return
		}
		if !taken(out) || time.Now().After(deadline) {
			t.Fatalf("pipe-cluster up: %v\n%s", err, out)
		}
	}
}

// taken reports whether a program ended because another test has the real cluster.
func taken(out []byte) bool {
	return bytes.Contains(out, []byte("this machine has a real cluster already"))
}

// firstDemo runs the demo with an empty home, and again if another test takes the real
// cluster while the demo makes its base images.
func firstDemo(t *testing.T, home string) string {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Minute); ; {
		free(t, home)
		out, err := script(t, home, "demo.sh").CombinedOutput()
		if err == nil {
			t.Logf("demo.sh\n%s", out)
			return string(out)
		}
		if !taken(out) || time.Now().After(deadline) {
			t.Fatalf("demo.sh: %v\n%s", err, out)
		}
		if out, err := script(t, home, "demo-stop.sh").CombinedOutput(); err != nil {
			t.Fatalf("demo-stop.sh: %v\n%s", err, out)
		}
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
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
