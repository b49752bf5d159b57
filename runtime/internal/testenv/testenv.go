// Package testenv gives tests real servers on loopback, one of a kind per test process.
//
// If a server cannot be started, the test is skipped with the reason, or fails if the
// comma-separated PIPE_TEST_REQUIRE names the server. "make test"
// requires all of them.
package testenv

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// missing ends the test because the named server is not available.
func missing(t testing.TB, server string, why error) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), server) {
		t.Fatalf("PIPE_TEST_REQUIRE names %s, but: %v", server, why)
	}
	t.Skipf("no %s for tests: %v", server, why)
}

// root returns the directory of the module.
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
