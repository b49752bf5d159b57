package build_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// disk mounts a small disk.
func disk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		unavailable(t, "buildkit", errors.New("only root can mount a small disk"))
	}
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size="+size); err != nil {
		unavailable(t, "buildkit", fmt.Errorf("mount a small disk: %w", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return small
}

// TestCheckoutDiskFull: a fetch onto a full disk leaves nothing, and the next one with more
// room succeeds.
func TestCheckoutDiskFull(t *testing.T) {
	repo := newRepository(t)
	all := shop("x")
	var big strings.Builder // git cannot compress it
	for i := range 100_000 {
		fmt.Fprintf(&big, "%x", sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
	}
	all["big"] = big.String()
	commit := repo.commit(all)
	small := disk(t, "2m")
	b := build.New(build.Options{Dir: t.TempDir(), CacheDir: small})
	for _, size := range []string{"2m", "2m", "6m"} { // the last has room for the objects, but not for the files
		if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size="+size); err != nil {
			t.Fatal(err)
		}
		_, err := b.Identify(t.Context(), gitSpec(repo.dir, commit))
		want := "Pipelinefile:3:1: fetch " + commit + " of " + repo.dir + ": the disk of " + small + "/git is full: git "
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Identify = %v\nwant %s…", err, want)
		}
		if advice, _ := runtime.AdviceOf(err); advice.Do != "make room on the disk of "+small+"/git and run again" {
			t.Errorf("the advice is %q", advice.Do)
		}
		if left, err := os.ReadDir(small + "/git"); err != nil || len(left) != 1 { // its lock
			t.Errorf("left are %v, %v", left, err)
		}
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Identify(t.Context(), gitSpec(repo.dir, commit)); err != nil {
		t.Error(err)
	}
}

// TestIndexDiskFull identifies and builds without room for the index of files and for the platform of
// the builder: that only takes longer.
func TestIndexDiskFull(t *testing.T) {
	small := disk(t, "64k")
	if err := os.WriteFile(small+"/fill", make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk = %v", err)
	}
	dir, host := workspace(t, app()), images(t)
	settle(t, dir+"/web")
	b := build.New(build.Options{Dir: dir, Addresses: []string{buildkit(t)}, CacheDir: small})
	t.Cleanup(func() { b.Close() })
	want, err := newBuilder(t, dir).Identify(t.Context(), spec("web"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := b.Identify(t.Context(), spec("web")); err != nil || got != want {
			t.Errorf("Identify = %s, %v; want %s", got, err, want)
		}
	}
	mustBuild(t, b, spec("web"), host+"/web:1")
	if left, err := filepath.Glob(small + "/*/*"); err != nil || len(left) > 0 {
		t.Errorf("left are %q, %v", left, err)
	}
}

// TestDiskFull runs BuildKit on a small disk.
func TestDiskFull(t *testing.T) {
	small := disk(t, "24m")
	at := daemon.Background{Home: small, Idle: time.Minute}
	t.Cleanup(func() {
		if err := at.Process().Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	a, err := at.Ensure(t.Context())
	if err != nil {
		unavailable(t, "buildkit", err)
	}
	t.Cleanup(a.Release)
	host := images(t)
	dir := workspace(t, files{
		"web/Dockerfile": "FROM scratch\nCOPY big /\n", "web/big": strings.Repeat("0123456789abcdef", 2<<20),
		"run/Dockerfile": shell + "RUN dd if=/dev/zero of=/big bs=1M count=30\n", "run/busybox": "",
		"ok/Dockerfile": "FROM scratch\nCOPY x /\n", "ok/x": "x",
	})
	b := build.New(build.Options{Dir: dir, Addresses: []string{a.Addr}})
	t.Cleanup(func() { b.Close() })
	for _, source := range []string{"web", "run"} {
		_, err := fails(t, b, spec(source), host+"/"+source+":1")
		if !strings.Contains(err.Error(), "the disk of the builder is full") || !strings.Contains(err.Error(), "free some space") {
			t.Errorf("Build = %v", err)
		}
	}
}

// TestCommandDiskFull unpacks the image of a command on a small disk.
func TestCommandDiskFull(t *testing.T) {
	small := disk(t, "2m")
	dir, host := workspace(t, files{"web/main.txt": strings.Repeat("x", 4<<20)}), images(t)
	s := writes("gzip")
	s.Command.Output, s.Command.Env = "out.tgz", map[string]string{"WRITE_TO": "out.tgz"}
	t.Setenv("TMPDIR", small)
	_, err := commandBuilder(t, dir).Build(t.Context(), s, host+"/web:1", func(runtime.Body) {})
	if err == nil || !strings.Contains(err.Error(), "unpack the image: the disk of "+small) {
		t.Errorf("Build = %v", err)
	}
	if advice, _ := runtime.AdviceOf(err); !strings.HasPrefix(advice.Do, "make room on the disk of "+small) {
		t.Errorf("the advice is %q", advice.Do)
	}
	if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
