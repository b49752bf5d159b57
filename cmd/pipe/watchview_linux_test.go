package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const twoApps = `
pipeline("shop")
application("api", source = local("api"))
application("web", source = local("web"))
`

// newWorkspace creates a directory with two applications.
func newWorkspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "Pipelinefile", twoApps)
	write(t, dir, "kubeconfig", `
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: here, context: {cluster: c, user: u}}]
`)
	for _, name := range []string{"api", "web"} {
		write(t, dir, name+"/Dockerfile", "FROM scratch\nCOPY . /\n")
		write(t, dir, name+"/main.txt", "1")
	}
	return dir
}

// inWorkspace returns the command that runs args in a workspace, with a world in memory.
func inWorkspace(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath(args[0]) // where testscript has installed it
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PIPE_HOME="+t.TempDir(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"),
		"PIPE_TEST_HOLD="+filepath.Join(dir, "..", "hold"), "TERM=vt220", "CI=", "NO_COLOR=", "PIPE_PROGRESS=", "PS1=$ ", "ENV=")
	return cmd
}

const allDeployed = "watching: everything is deployed"

// TestKeys presses every key of watch mode on a terminal.
func TestKeys(t *testing.T) {
	dir := newWorkspace(t)
	term := onTerminal(t, inWorkspace(t, dir, "pipe-in-memory", "run", "--watch"), 80, 24)
	term.await("shop-default", allDeployed, "✔ api", "✔ web", "? help")

	term.types("?")
	term.await("this help")
	term.types("q")
	term.await(allDeployed)

	term.types("p")
	term.await("paused: changes are collected", "p resume")
	write(t, dir, "api/main.txt", "2")
	term.await("changed: api/main.txt")
	term.types("p")
	term.await(allDeployed, "✔ api  done", "p pause")

	write(t, dir, "Pipelinefile", "pipeline('shop')\napplicatoin('api')\n")
	term.await("errors in the file: the last good plan stays in effect", "Pipelinefile:2:1: ")
	term.types("r") // does not change anything
	write(t, dir, "Pipelinefile", twoApps)
	term.await(allDeployed)

	hold := filepath.Join(dir, "..", "hold")
	write(t, filepath.Dir(hold), "hold", "")
	term.types("s")
	term.await("restart: ", "1  api", "2  web")
	term.types("2")
	term.await("web  restarting")
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	term.await(allDeployed, "✔ web  done")

	term.types("d")
	term.await("diff", "this runtime cannot compare")
	term.types("\x1b")
	term.await(allDeployed)
	term.types("o")
	term.await("no port of a service is forwarded to this machine")
	term.types("l")
	term.await("logs of: ", "1  all services")
	term.types("\r")
	term.await("logs of all services")
	term.types("q")
	term.await(allDeployed)

	for _, size := range [][2]int{{40, 10}, {20, 4}, {120, 40}, {80, 24}} {
		term.resize(size[0], size[1])
		term.await("help")
	}

	term.types("\x1a") // there is no shell that could resume it
	term.types("?")
	term.await("this help")
	term.types("qq")
	term.ends(statusDone)
	term.await("shop-default: 2 services", "everything stays deployed in shop-default; stop it with: pipe stop default")
}

// TestEndOfView: the terminal is restored, however watch mode ends.
func TestEndOfView(t *testing.T) {
	for _, tt := range []struct {
		name   string
		end    func(term *console, cmd *exec.Cmd)
		status int
		said   string
	}{
		{"Ctrl-C", func(term *console, _ *exec.Cmd) { term.types("\x03") }, statusInterrupted, "everything stays deployed"},
		{"terminated", func(_ *console, cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) }, statusTerminated, "error: terminated"},
		{"quit", func(term *console, _ *exec.Cmd) { term.types("q") }, statusDone, "everything stays deployed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := inWorkspace(t, newWorkspace(t), "pipe-in-memory", "run", "--watch")
			term := onTerminal(t, cmd, 80, 24)
			term.await(allDeployed, "? help")
			tt.end(term, cmd)
			term.ends(tt.status)
			term.await(tt.said)
			term.mu.Lock()
			defer term.mu.Unlock()
			if shown := term.screen.String(); strings.Contains(shown, "error: ") != strings.HasPrefix(tt.said, "error: ") {
				t.Errorf("it ends with\n%s", shown)
			}
		})
	}
	t.Run("wrong from the beginning", func(t *testing.T) {
		dir := newWorkspace(t)
		write(t, dir, "Pipelinefile", "pipeline('shop')\nfoo()\n")
		term := onTerminal(t, inWorkspace(t, dir, "pipe-in-memory", "run", "--watch"), 80, 24)
		term.await("errors in the file: nothing is deployed until they are corrected", "Pipelinefile:2:1: undefined: foo")
		term.types("q")
		term.ends(statusDone)
		term.await("Pipelinefile:2:1: undefined: foo")
	})
}

// TestSuspend tests the job control of a shell: Ctrl-Z, the background, in which watch mode
// neither reads nor draws but still deploys, and the foreground again.
func TestSuspend(t *testing.T) {
	dir := newWorkspace(t)
	shell := inWorkspace(t, dir, "sh", "-i")
	term := onTerminal(t, shell, 80, 24)
	term.await("$")
	term.types("pipe-in-memory run --watch\n")
	term.await(allDeployed, "? help")
	term.types("\x1a")
	term.await("Stopped", "$")
	term.types("stty -a | grep -c ' icanon.* echo '; echo looked\n")
	term.await("1\nlooked")
	term.types("bg; echo behind\n")
	term.await("\nbehind")
	write(t, dir, "api/main.txt", "2")
	term.types("echo still $((1+1))\n")
	term.await("still 2")
	term.types("fg\n")
	term.await("changed: api/main.txt", allDeployed, "✔ api  done")
	term.types("q")
	term.await("everything stays deployed", "$")
	term.types("echo status $?; exit\n")
	term.await("status 0")
	term.ends(0)

	// A process that starts in the background does not use the screen.
	term = onTerminal(t, inWorkspace(t, dir, "sh", "-i"), 80, 24)
	term.await("$")
	term.types("pipe-in-memory run --watch &\n")
	term.await("0:0", allDeployed)
	term.types("echo read $((1+2)); kill %1; wait; exit\n")
	term.await("read 3", "error: terminated")
	term.ends(0)
}

// TestHeld: watch mode asks about a branch switch that would deploy more than was deployed
// manually lately, and shows what it would deploy; it runs or waits, as the user decides.
func TestHeld(t *testing.T) {
	dir := newWorkspace(t)
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	branch := func(name string, services ...string) {
		t.Helper()
		git("checkout", "-q", "-b", name)
		file := "pipeline(\"shop\")\n"
		for _, s := range services {
			file += fmt.Sprintf("application(%q, source = local(%q), env = {\"BRANCH\": %q})\n", s, s, name)
			write(t, dir, s+"/Dockerfile", "FROM scratch\nCOPY . /\n")
		}
		write(t, dir, "Pipelinefile", file)
		git("add", ".")
		git("commit", "-q", "-m", name)
	}
	git("init", "-q")
	branch("two", "api", "web")
	branch("three", "api", "web", "db")
	branch("five", "api", "web", "db", "cache", "mail")
	git("checkout", "-q", "two")

	term := onTerminal(t, inWorkspace(t, dir, "pipe-in-memory", "run", "--watch"), 100, 24)
	term.await(allDeployed, "✔ api", "✔ web", "? help")
	git("checkout", "-q", "three")
	term.await("? holding: HEAD has moved, and 3 services", "api, web, db", "r run them")
	term.types("p")
	term.await("‖ paused: changes are collected, and nothing runs", "p resume")
	term.types("p")
	term.await(allDeployed, "✔ db")

	git("checkout", "-q", "five")
	term.await("? holding: HEAD has moved, and 5 services", "api, web, db, cache, mail")
	term.types("r")
	term.await(allDeployed, "✔ cache", "✔ mail")
	term.types("q")
	term.ends(statusDone)
}
