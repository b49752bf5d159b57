package serve

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "registry") {
			t.Fatalf("PIPE_TEST_REQUIRE names registry, but a small file system cannot be mounted: %v", err)
		}
		t.Skipf("mount a small file system, as root: %v", err)
	}
	t.Cleanup(func() {
		// Unmount immediately, although the library may still have open files.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := inProcess(t, dir)
	fits := reference(t, s.Addr, "shop/small:one")
	push(t, fits, image(t, 1<<20))
	err := remote.Write(reference(t, s.Addr, "shop/big:one"), image(t, 8<<20))
	want := "the disk of the embedded registry is full: free some space where " + filepath.Join(dir, "images") + " is, or use another registry"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("push = %v\nwant %s", err, want)
	}
	if _, err := remote.Head(fits); err != nil {
		t.Errorf("what was there before: %v", err)
	}
	// The failed upload was removed, so there is space again.
	push(t, reference(t, s.Addr, "shop/small:two"), image(t, 1<<20))
}
