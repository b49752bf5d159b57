//go:build unix

package interp_test

import (
	"syscall"
	"testing"
)

func makeFifo(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o644); err != nil {
		t.Fatal(err)
	}
}
