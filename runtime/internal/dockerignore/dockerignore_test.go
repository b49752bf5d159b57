package dockerignore

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tonistiigi/fsutil"

	"github.com/pipelinefile/pipe/plan"
)

func TestNames(t *testing.T) {
	got := Names(plan.BuildSpec{Source: plan.Source{Path: "shop"}, Context: "api", Dockerfile: "docker/Dockerfile.ci"})
	want := [2]string{"shop/docker/Dockerfile.ci.dockerignore", "shop/api/.dockerignore"}
	if got != want {
		t.Errorf("Names() = %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	got, err := Parse([]byte("# comment\n\n/node_modules\n!  keep/../x \n"))
	if want := []string{"node_modules", "!x"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Parse() = %q, %v, want %q", got, err, want)
	}
	if _, err := Parse([]byte("fine\n[\n")); err == nil || !strings.Contains(err.Error(), `"[" is not a valid pattern`) {
		t.Errorf("Parse of an open bracket: %v", err)
	}
}

// TestWithin shows that a directory that is left out is only looked into where a
// pattern can bring something of it back.
func TestWithin(t *testing.T) {
	for _, test := range []struct {
		patterns, dir string
		want          bool
	}{
		{"node_modules", "node_modules", false},
		{"node_modules !src/*.md", "node_modules", false},
		{"node_modules !node_modules/keep", "node_modules", true},
		{"node_modules !node_modules/a/b", "node_modules/a", true},
		{"node_modules !node_modules/a/b", "node_modules/c", false},
		{"node_modules !**/keep", "node_modules/x", true},
		{"node_modules !*/keep", "node_modules", true},
		{"node_modules !*/keep", "node_modules/x", false},
		{"!node_modules node_modules", "node_modules", false},
		{"* !src", "src2", false},
	} {
		m, err := New(strings.Fields(test.patterns))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Within(test.dir); got != test.want {
			t.Errorf("%s: Within(%s) = %v, want %v", test.patterns, test.dir, got, test.want)
		}
	}
}

// TestLikeBuild compares what is found, without going into directories that have
// nothing, with what a build is sent.
func TestLikeBuild(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a", "b", "ab", "c.md"}
	for _, x := range names {
		for _, y := range names {
			for _, z := range names[:3] {
				file := filepath.Join(dir, x+"d", y+"d", z)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"ad", "bd", "abd", "a*", "*d", "**", "?d", "a", "b", "c.md", "*.md", "*"}
	for range 500 {
		var patterns []string
		for range 1 + rnd.IntN(4) {
			var p []string
			for range 1 + rnd.IntN(3) {
				p = append(p, parts[rnd.IntN(len(parts))])
			}
			pattern := strings.Join(p, "/")
			if rnd.IntN(3) == 0 {
				pattern = "!" + pattern
			}
			patterns = append(patterns, pattern)
		}
		patterns, err := Parse([]byte(strings.Join(patterns, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := found(t, dir, patterns), sent(t, dir, patterns); !slices.Equal(got, want) {
			t.Fatalf("patterns %q:\n%s", patterns, cmp.Diff(want, got))
		}
	}
}

func found(t *testing.T, dir string, patterns []string) (files []string) {
	t.Helper()
	m, err := New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]State{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(p string, e fs.DirEntry, err error) error {
		if p == "." || err != nil {
			return err
		}
		out, state := m.Out(p, states[path.Dir(p)])
		states[p] = state
		switch {
		case e.IsDir() && out && !m.Within(p):
			return fs.SkipDir
		case !e.IsDir() && !out:
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sent(t *testing.T, dir string, patterns []string) (files []string) {
	t.Helper()
	disk, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	filtered, err := fsutil.NewFilterFS(disk, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		t.Fatal(err)
	}
	err = filtered.Walk(context.Background(), "", func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, filepath.ToSlash(p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
