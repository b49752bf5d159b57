package git_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/internal/git"
)

// TestCheckoutsProcesses: of several processes and callers that need a commit, one fetches it.
func TestCheckoutsProcesses(t *testing.T) {
	s := newServer(t)
	shop := s.repository("shop.git")
	commit := shop.commit(map[string]string{"x": "text"})
	dir := t.TempDir()
	var starts []io.WriteCloser
	var outputs []*strings.Builder
	var processes []*exec.Cmd
	for range 4 {
		cmd, in, out := process(t, dir, shop.url, commit)
		processes, starts, outputs = append(processes, cmd), append(starts, in), append(outputs, out)
	}
	for _, in := range starts {
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Fatal(err)
		}
	}
	for i, cmd := range processes {
		if err := cmd.Wait(); err != nil || outputs[i].String() != filepath.Join(dir, commit)+"\n" {
			t.Errorf("a process got %q, %v", outputs[i], err)
		}
	}
	if n := s.count("GET /shop.git/info/refs"); n != 1 {
		t.Errorf("the commit was fetched %d times", n)
	}
	c := &git.Checkouts{Dir: dir}
	got, err := get(t.Context(), c, shop.url, commit)
	if err != nil || !maps.Equal(s.files(got.Dir), map[string]string{"x": "text"}) || s.count("") > 0 {
		t.Errorf("the checkout has %q, %v", s.files(got.Dir), err)
	}
}

// process starts a process that gets a checkout when it reads a line.
func process(t *testing.T, dir, repository, commit string) (*exec.Cmd, io.WriteCloser, *strings.Builder) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := exec.Command(self, "get-checkout", dir, repository, commit), &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, in, out
}

// TestCheckoutsKilled: git ends with a killed process, what that has left is removed, and the next
// one fetches the commit.
func TestCheckoutsKilled(t *testing.T) {
	s := newServer(t)
	shop := s.repository("shop.git")
	commit := shop.commit(map[string]string{"x": "text"})
	dir := t.TempDir()
	fetching, over := make(chan bool), make(chan bool)
	s.set(false, func(req *http.Request) bool {
		if req.Method == http.MethodPost {
			io.Copy(io.Discard, req.Body) // then the server notices that the client is gone
			fetching <- true
			<-req.Context().Done()
			close(over)
			return false
		}
		return true
	})
	cmd, in, _ := process(t, dir, shop.url, commit)
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	<-fetching
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	select {
	case <-over:
	case <-time.After(time.Minute):
		t.Fatal("git still waits for the server")
	}
	s.set(false, nil)
	left := names(t, dir)
	if len(left) != 2 || !strings.HasPrefix(left[0], ".new-"+commit) {
		t.Fatalf("the killed process has left %q", left)
	}
	other := shop.commit(map[string]string{"x": "other"})
	if _, err := get(t.Context(), &git.Checkouts{Dir: dir}, shop.url, other); err != nil {
		t.Fatal(err)
	}
	if now := names(t, dir); slices.Contains(now, left[0]) {
		t.Errorf("the checkout of another commit has left %q", now)
	}
	for _, suffix := range []string{"", ".sum", ".lock"} {
		os.RemoveAll(filepath.Join(dir, other+suffix))
	}
	c := &git.Checkouts{Dir: dir, Notice: func(text string) { t.Error(text) }}
	got, err := get(t.Context(), c, shop.url, commit)
	if err != nil || !maps.Equal(s.files(got.Dir), map[string]string{"x": "text"}) {
		t.Errorf("Get = %+v, %v", got, err)
	}
	if left = names(t, dir); !slices.Equal(left, []string{commit, commit + ".lock", commit + ".sum"}) {
		t.Errorf("left are %q", left)
	}
}

// TestCheckoutsFailed: a fetch that fails leaves nothing, and does not replace what is there.
func TestCheckoutsFailed(t *testing.T) {
	s := newServer(t)
	shop := s.repository("shop.git")
	commit := shop.commit(map[string]string{"x": "text"})
	c := &git.Checkouts{Dir: t.TempDir()}
	s.set(false, func(*http.Request) bool { panic(http.ErrAbortHandler) })
	if _, err := get(t.Context(), c, shop.url, commit); err == nil {
		t.Fatal("the fetch did not fail")
	}
	if left := names(t, c.Dir); !slices.Equal(left, []string{commit + ".lock"}) {
		t.Errorf("left are %q", left)
	}
	s.set(false, nil)
	if _, err := get(t.Context(), c, shop.url, commit); err != nil {
		t.Error(err)
	}
}

// TestCheckoutsOld: what was not used for 14 days is removed when a commit is fetched.
func TestCheckoutsOld(t *testing.T) {
	s := newServer(t)
	shop := s.repository("shop.git")
	c := &git.Checkouts{Dir: t.TempDir()}
	var commits []string
	for _, content := range []string{"unused", "used", "recent", "new"} {
		commits = append(commits, shop.commit(map[string]string{"x": content}))
	}
	age := func(commit string, days int) {
		t.Helper()
		at := time.Now().Add(-time.Duration(days)*24*time.Hour - time.Hour)
		for _, suffix := range []string{"", ".sum", ".lock"} {
			if err := os.Chtimes(filepath.Join(c.Dir, commit+suffix), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, commit := range commits[:3] {
		if _, err := get(t.Context(), c, shop.url, commit); err != nil {
			t.Fatal(err)
		}
	}
	age(commits[0], 14)
	age(commits[1], 14)
	age(commits[2], 13)
	for _, i := range []int{1, 3} {
		if _, err := get(t.Context(), c, shop.url, commits[i]); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	for _, name := range names(t, c.Dir) {
		if git.IsCommit(name) {
			left = append(left, name)
		}
	}
	want := slices.Sorted(slices.Values(commits[1:]))
	if !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
