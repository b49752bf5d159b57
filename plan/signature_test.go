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
