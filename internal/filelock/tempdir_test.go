package filelock

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestTempDirKilled: what a killed process has left is removed, and nothing else is.
func TestTempDirKilled(t *testing.T) {
	const word = "PIPE_TEST_TEMP"
	if dir := os.Getenv(word); dir != "" {
		path, release, err := TempDir(dir, "own-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { release() }) // never: the process is killed
		if err := os.WriteFile(filepath.Join(path, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("path " + path + "\n")
		io.Copy(io.Discard, os.Stdin)
	}
	dir := t.TempDir()
	start := func() (path string, kill func()) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTempDirKilled$")
		cmd.Env = append(os.Environ(), word+"="+dir)
		if _, err := cmd.StdinPipe(); err != nil { // which does not end
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		kill = sync.OnceFunc(func() { cmd.Process.Kill(); cmd.Wait() })
		t.Cleanup(kill)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if path, ok := strings.CutPrefix(lines.Text(), "path "); ok {
				return path, kill
			}
		}
		t.Fatal("the process ended")
		return "", nil
	}
	dead, kill := start()
	alive, _ := start()
	ours, release, err := TempDir(dir, "own-")
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"other-1", "own-2"} { // "own-2" has no lock
		if err := os.Mkdir(filepath.Join(dir, other), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other-1.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, "own-link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "other-1.lock"), filepath.Join(dir, "own-link.lock")); err != nil {
		t.Fatal(err)
	}
	kill()
	RemoveDead(dir, "own-")
	want := []string{"other-1", "other-1.lock", "own-2", "own-link", "own-link.lock"}
	for _, path := range []string{alive, ours} {
		want = append(want, filepath.Base(path), filepath.Base(path)+".lock")
	}
	if got := names(t, dir); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("left are %q, want %q; %s was of a killed process", got, want, dead)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ours); err == nil {
		t.Error("the directory was not removed")
	}
	if _, err := os.Stat(elsewhere); err != nil {
		t.Errorf("a directory that a link names was removed: %v", err)
	}
}

// TestTempDirConcurrent: nobody removes a directory that is in use, whenever it was created.
func TestTempDirConcurrent(t *testing.T) {
	dir := t.TempDir()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				path, release, err := TempDir(dir, "x-")
				if err != nil {
					t.Error(err)
					return
				}
				RemoveDead(dir, "x-")
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
				if err := release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	if _, _, err := TempDir(filepath.Join(dir, "absent"), "x-"); err == nil {
		t.Error("a directory was created in one that does not exist")
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
