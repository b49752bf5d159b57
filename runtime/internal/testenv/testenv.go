// Package testenv gives tests real servers on loopback, one of a kind per test process.
//
// A server that cannot be started skips the test with the reason; where the
// comma-separated PIPE_TEST_REQUIRE names it, that is a failure. "make test"
// requires them all.
package testenv

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// missing ends the test, because a server of that name cannot be had.
func missing(t testing.TB, server string, why error) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), server) {
		t.Fatalf("PIPE_TEST_REQUIRE names %s, but: %v", server, why)
	}
	t.Skipf("no %s for tests: %v", server, why)
}

// root returns the folder of the module.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "pipe-cluster", "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", os.ErrNotExist
		}
		dir = up
	}
}
