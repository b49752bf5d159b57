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
