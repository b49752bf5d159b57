package testenv

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// afterUs runs a shell script when this process ends, even if it is killed: a
// shell waits for the end of its standard input, which the kernel closes with
// us. The arguments are $0, $1 and so on.
func afterUs(script string, args ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	watch := exec.Command("sh", append([]string{"-c", "cat >/dev/null; " + script}, args...)...)
	watch.Stdin = r
	watch.SysProcAttr = ownSession()
	if err := watch.Start(); err != nil {
		return err
	}
	held = append(held, w)
	return nil
}

// held stay open for as long as the process lives.
var held []io.Closer

// folder makes a folder whose name says which process it is of.
func folder(kind string) (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", kind, os.Getpid()))
}

// sweep removes folders of a kind that a process of old left behind, as when the
// machine lost its power: what is young, somebody may be removing.
func sweep(kind string, before func(dir string)) {
	stale, err := filepath.Glob(filepath.Join(os.TempDir(), kind+"[0-9]*-*"))
	if err != nil {
		return
	}
	for _, dir := range stale {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), kind), "-")
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Hour || alive(pid) {
			continue
		}
		before(dir)
		os.RemoveAll(dir)
	}
}
