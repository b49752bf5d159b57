package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// TestDiskFull runs BuildKit on a small disk.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		unavailable(t, "buildkit", errors.New("only root can mount a small disk"))
	}
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=24m"); err != nil {
		unavailable(t, "buildkit", fmt.Errorf("mount a small disk: %w", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
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
