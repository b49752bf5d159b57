package watch

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// inspect calls do while nothing else happens, when all files have been read.
func (s *space) inspect(do func(f *Files)) {
	s.Helper()
	for done := false; !done; {
		answer := make(chan bool)
		select {
		case s.files.calls <- func() {
			if done = len(s.files.tree.lazy) == 0 && !s.files.summing; done {
				do(s.files)
			}
			close(answer)
		}:
			<-answer
		case <-s.files.stop:
			s.Fatal("closed")
		}
	}
}

// known is what is known of every wanted path.
func known(t *tree) map[string]string {
	out := map[string]string{}
	for _, n := range t.nodes {
		for name, e := range n.entries {
			if e.mode != 0 {
				out[path.Join(n.path, name)] = fmt.Sprintf("%v %x %v", e.mode, e.sum[:4], e.known)
			}
		}
	}
	return out
}

// TestRandom: whatever is done to files, what is known is what a new look finds,
// the directories that are watched are those with wanted files, and what changed
// is reported.
func TestRandom(t *testing.T) {
	builds := []plan.BuildSpec{
		{ID: "a", Source: plan.Source{Path: "a"}, Context: ".", Dockerfile: "Dockerfile"},
		{ID: "b", Source: plan.Source{Path: "."}, Context: "b", Dockerfile: "b/Dockerfile.b"},
	}
	inputs := []string{
		"context a", "dockerfile a/Dockerfile", "context b", "dockerfile b/Dockerfile.b", "glob **/*.yaml", "glob a/*/x*",
		"chart c", "file a/x", "file b/link/y", "values l/x", "module Pipelinefile",
	}
	for i := range 14 {
		inputs = append(inputs, fmt.Sprint("file end", i))
	}
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			s := newSpace(t, FileOptions{}, "Pipelinefile", "p", "a/.dockerignore", "no\n!no/keep\n*.log\n", "c/Chart.yaml", "c")
			s.set(builds, inputs...)
			s.until("end0") // also what comes of globs and charts, which have no digest here
			ends, now := inputs[len(inputs)-14:], inputs
			for round := range 6 {
				if rnd.IntN(3) == 0 { // another plan
					some := slices.DeleteFunc(slices.Clone(inputs[:len(inputs)-14]), func(string) bool { return rnd.IntN(3) == 0 })
					now = append(some, ends...)
					s.set(builds, now...)
					s.until(fmt.Sprint("end", 7+round))
				}
				var before, after, fresh map[string]string
				began := 0
				s.inspect(func(f *Files) { before, began = known(f.tree), f.tree.round })
				ops := s.operate(rnd, 1+rnd.IntN(12))
				reported := s.until(fmt.Sprint("end", round+1))
				examined := 0
				var watches, dirs []string
				s.inspect(func(f *Files) {
					after, examined = known(f.tree), f.tree.round-began
					other := newTree(f.tree.root)
					for k, w := range f.tree.wants {
						c := *w
						c.resolve(other.root)
						other.wants[k] = &c
					}
					other.rescope()
					for len(other.lazy) > 0 {
						p := other.lazy[0]
						other.lazy = other.lazy[1:]
						n := other.nodes[path.Dir(p)]
						e := n.entries[path.Base(p)]
						data, err := os.ReadFile(other.abs(p))
						s.ok(err)
						e.sum, e.known = sumOf(data), true
						n.entries[path.Base(p)] = e
					}
					fresh = known(other)
					for _, n := range other.nodes {
						dirs = append(dirs, other.abs(n.path))
					}
					watches = f.src.(*notifier).watcher.WatchList()
				})
				fail := false
				if diff := cmp.Diff(fresh, after); diff != "" {
					fail = true
					t.Errorf("what is known: -new look +watched\n%s", diff)
				}
				slices.Sort(watches)
				slices.Sort(dirs)
				if diff := cmp.Diff(dirs, watches); diff != "" {
					fail = true
					t.Errorf("watches: -want +got\n%s", diff)
				}
				pruned := func(p string) bool { // what is in a context is another question now
					dir, _, _ := strings.Cut(p, "/")
					return reported[dir+"/.dockerignore"]
				}
				for p, must := range differences(before, after, now) {
					if must && !reported[p] && !pruned(p) {
						fail = true
						t.Errorf("%s changed and was not reported", p)
					}
				}
				if examined == 1 && !reported["a"] && !reported["b"] && !reported["c"] { // else what is wanted is another question
					diff := differences(before, after, now)
					for p := range reported {
						// What is at the end of a link counts only while the link is there, and
						// is named by the path of the link, too.
						if _, ok := diff[p]; !ok && !pruned(p) && !strings.HasPrefix(p, "l/") && !s.linked(p) {
							fail = true
							t.Errorf("%s was reported and did not change", p)
						}
					}
				}
				if fail {
					t.Fatalf("round %d:\n%s\nreported %q in %d examinations", round, strings.Join(ops, "\n"), slices.Sorted(maps.Keys(reported)), examined)
				}
			}
		})
	}
}

// linked reports whether the path passes through a symbolic link.
func (s *space) linked(p string) bool {
	for ; p != "."; p = path.Dir(p) {
		if isLink(s.path(p)) {
			return true
		}
	}
	return false
}

// differences returns the paths that differ, and whether that must be reported
// when these inputs are watched.
func differences(before, after map[string]string, inputs []string) map[string]bool {
	out := map[string]bool{}
	for p, was := range before {
		if is := after[p]; is != was {
			out[p] = reportable(p, was, is, inputs)
		}
	}
	for p, is := range after {
		if was := before[p]; is != was {
			out[p] = reportable(p, was, is, inputs)
		}
	}
	return out
}

// reportable reports whether a path whose entry differs must be in the change: it
// is in a context, or is a file with other content.
func reportable(p, was, is string, inputs []string) bool {
	// What is left out of a context can become part of another input.
	if strings.HasPrefix(p, "a/no") || strings.Contains(p, ".log") || strings.Contains(p, ".git") {
		return false
	}
	if dir, _, ok := strings.Cut(p, "/"); ok {
		return slices.Contains(inputs, "context "+dir)
	}
	_, was, _ = strings.Cut(was, " ")
	_, is, _ = strings.Cut(is, " ")
	return p == "Pipelinefile" && was != is && slices.Contains(inputs, "module "+p)
}

// until makes a file, and returns what is reported until that is: everything
// that happened before, as events come in order.
func (s *space) until(end string) map[string]bool {
	s.Helper()
	s.write(end, "")
	paths := map[string]bool{}
	for !paths[end] {
		for _, p := range s.next().Paths {
			paths[p] = true
		}
	}
	return paths
}

// operate does something to files, n times, and tells what.
func (s *space) operate(rnd *rand.Rand, n int) (done []string) {
	s.Helper()
	names := []string{"a", "b", "c", "l", "x", "y", "y.yaml", "no", "keep", "link", "z.log", "Dockerfile", ".git"}
	random := func() string {
		p := []string{[]string{"a", "b", "c", "l"}[rnd.IntN(4)]}
		for rnd.IntN(3) > 0 {
			p = append(p, names[rnd.IntN(len(names))])
		}
		return path.Join(p...)
	}
	existing := func() string {
		var all []string
		s.ok(filepath.WalkDir(s.dir, func(p string, _ fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(s.dir, p)
			if rel != "." && !strings.HasPrefix(rel, "end") && !strings.HasPrefix(rel, "mark") {
				all = append(all, filepath.ToSlash(rel))
			}
			return err
		}))
		if len(all) == 0 {
			return "a"
		}
		return all[rnd.IntN(len(all))]
	}
	for range n {
		p, q := random(), existing()
		var what string
		var err error
		switch rnd.IntN(9) {
		case 0, 1:
			text := fmt.Sprint(rnd.IntN(3))
			what, err = "write "+p+" "+text, os.WriteFile(s.path(p), []byte(text), 0o644)
		case 2:
			what, err = "mkdir "+p, os.MkdirAll(s.path(p), 0o755)
		case 3:
			what, err = "rename "+q+" "+p, os.Rename(s.path(q), s.path(p))
		case 4:
			what, err = "remove "+q, os.RemoveAll(s.path(q))
		case 5:
			rel, relErr := filepath.Rel(path.Dir(p), q)
			s.ok(relErr)
			what, err = "symlink "+p+" -> "+rel, os.Symlink(rel, s.path(p))
		case 6:
			data, readErr := os.ReadFile(s.path(q))
			if readErr != nil {
				continue
			}
			what, err = "same "+q, os.WriteFile(s.path(q), data, 0o644)
		case 7:
			what, err = "chmod "+q, os.Chmod(s.path(q), []fs.FileMode{0o755, 0o644 | 0o100}[rnd.IntN(2)])
		case 8:
			text := fmt.Sprint(rnd.IntN(3))
			s.ok(os.WriteFile(s.path("tmp"), []byte(text), 0o644))
			what, err = "replace "+p+" "+text, os.Rename(s.path("tmp"), s.path(p))
		}
		done = append(done, fmt.Sprintf("%s: %v", what, err))
	}
	return done
}

func sumOf(data []byte) content.Sum { return sha256.Sum256(data) }
