//go:build unix

package build_test

import (
	"crypto/sha256"
	"os"
	"syscall"
	"testing"
)

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o644) }

// flipSums gives an index other digests, and the check sum that goes with them:
// the last byte of its last entry is one of a digest.
func flipSums(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const magic = "pipe index 1\n"
	body := data[len(magic) : len(data)-sha256.Size]
	if len(body) == 0 {
		t.Fatal("nothing is remembered")
	}
	body[len(body)-1] ^= 1
	check := sha256.Sum256(body)
	copy(data[len(data)-sha256.Size:], check[:])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
