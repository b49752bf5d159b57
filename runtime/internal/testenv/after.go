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
// shell waits for the end of its standard input, which the kernel closes when this
// process ends. The arguments are $0, $1 and so on.
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

// held is kept open as long as the process lives.
var held []io.Closer

// folder creates a directory whose name contains the process ID.
func folder(kind string) (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", kind, os.Getpid()))
}

// sweep removes directories of a kind that an earlier process left behind, for instance
// after a power failure. It ignores recent ones, which may be in the process of removal.
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
