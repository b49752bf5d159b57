package plan

import (
	"strings"
	"testing"
)

func TestMatchName(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"*", "a/b", true},
		{"**", "a/b", true},
		{"a/*", "a/b/c", true},
		{"a/*", "a", false},
		{"a/*/c", "a/b/c", true},
		{"a/*/c", "a/b/c/d", false},
		{"*b*", "abc", true},
		{"ab*ba", "aba", false},
		{"ab*ba", "abba", true},
		{"*a*a", "a", false},
		{"x*", "ax", false},
	} {
		if got := matchName(test.pattern, test.name); got != test.want {
			t.Errorf("matchName(%q, %q) is %t, want %t", test.pattern, test.name, got, test.want)
		}
	}
	if matchName(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 1000)) {
		t.Error("a pattern that ends with b matches a name without one")
	}
}

func TestFullName(t *testing.T) {
	for image, want := range map[string]string{
		"redis":                            "docker.io/library/redis",
		"bitnami/redis:7":                  "docker.io/bitnami/redis",
		"docker.io/redis":                  "docker.io/library/redis",
		"index.docker.io/library/redis":    "docker.io/library/redis",
		"GHCR.io/a/b:1":                    "ghcr.io/a/b",
		"ghcr.io:443/a/b":                  "ghcr.io/a/b",
		"ghcr.io:80/a/b":                   "ghcr.io:80/a/b",
		"ghcr.io:4430/a":                   "ghcr.io:4430/a",
		"docker.io:443/redis:7":            "docker.io/library/redis",
		"registry-1.docker.io/a/b":         "docker.io/a/b",
		"localhost:80/a":                   "localhost/a",
		"localhost:443/a":                  "localhost:443/a",
		"127.0.0.1:80/a":                   "127.0.0.1/a",
		"[::1]:80/a":                       "[::1]/a",
		"[2001:db8::1]:443/a":              "[2001:db8::1]/a",
		"localhost/a":                      "localhost/a",
		"localhost:5000/a:1@sha256:00":     "localhost:5000/a",
		"[::1]:5000/a":                     "[::1]:5000/a",
		"127.0.0.1:5000/mirror/ghcr.io/ab": "127.0.0.1:5000/mirror/ghcr.io/ab",
	} {
		if got := FullName(image); got != want {
			t.Errorf("FullName(%q) is %q, want %q", image, got, want)
		}
	}
}

// TestCoversPorts: a repository with several names is covered by each of them.
func TestCoversPorts(t *testing.T) {
	for _, pattern := range []string{"ghcr.io/a/*", "ghcr.io:443/a/*", "GHCR.io:443/a/b", "*.io:443/a/b", "*"} {
		for _, image := range []string{"ghcr.io/a/b:1", "ghcr.io:443/a/b:1"} {
			if !(SignatureRule{Images: []string{pattern}}).Covers(image) {
				t.Errorf("%q does not cover %s", pattern, image)
			}
			if (SignatureRule{Images: []string{"*"}, Exclude: []string{pattern}}).Covers(image) {
				t.Errorf("%s is covered, although %q is excluded", image, pattern)
			}
		}
		if image := "ghcr.io:80/a/b"; pattern != "*" && (SignatureRule{Images: []string{pattern}}).Covers(image) {
			t.Errorf("%q covers %s", pattern, image)
		}
	}
}
