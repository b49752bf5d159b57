package paths_test

import (
	"testing"

	"github.com/pipelinefile/pipe/internal/paths"
)

func TestResolve(t *testing.T) {
	for _, test := range []struct{ dir, path, want string }{
		{".", ".", "."}, {".", "a/b", "a/b"}, {"lib", "../a", "a"}, {"lib", "./a//b/", "lib/a/b"}, {"a/b", "../..", "."},
		{".", "", ""}, {".", "..", ""}, {"lib", "../../a", ""}, {".", "/a", ""}, {".", `a\b`, ""}, {".", "C:/a", ""}, {".", "~/a", ""}, {".", "a\x00b", ""}, {".", "https://a/b", ""},
	} {
		got, err := paths.Resolve(test.dir, test.path)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("Resolve(%q, %q) = %q, %v, want %q", test.dir, test.path, got, err, test.want)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, test := range []struct{ root, file, want string }{
		{"/a", "/a/b/c", "b/c"}, {"/a", "/a", "."}, {"/", "/a", "a"}, {"a", "a/b", "b"}, {"/a", "/a/..b", "..b"},
		{"/a", "/ab", ""}, {"/a/b", "/a", ""}, {"/a", "b", ""},
	} {
		if got := paths.Below(test.root, test.file); got != test.want {
			t.Errorf("Below(%q, %q) = %q, want %q", test.root, test.file, got, test.want)
		}
	}
}
