package watch

import (
	"cmp"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/glob"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/dockerignore"
)

// A want is a file or a tree of files to watch, for one or more inputs.
type want struct {
	kind   wantKind
	path   string // as in the input: slash-separated, relative to the workspace
	inputs []*input

	// The resolved path: the names that it passes through, following symbolic links,
	// and its target.
	hops  []hop
	place string // without links
	found bool
	dir   bool // it is a directory

	match   *dockerignore.Matcher // of a context; nil: nothing is excluded
	start   string                // of a glob: the directory to search
	parts   []string              // of a glob
	exclude [][]string            // of a glob

	// The digest of the content at place; valid until something there changes.
	digest plan.Digest
	valid  bool
}

type wantKind uint8

const (
	wantFile    wantKind = iota // the content of a file
	wantIgnore                  // a .dockerignore
	wantLinked                  // the target of a symbolic link in a chart, which is part of the chart
	wantChart                   // a file, or all files of a directory
	wantContext                 // a directory without the files that a .dockerignore excludes
	wantGlob                    // the set of files that match
)

// A hop is one name on a resolved path.
type hop struct {
	dir, name string // the directory is relative to the workspace, without links
	link      bool
}

// An input is one input of a plan.
type input struct {
	plan.Input
	given    plan.Digest // the digest in the newest evaluation
	reported plan.Digest // the digest that was last reported
}

// wantKey identifies a want.
type wantKey struct {
	kind wantKind
	path string
	rest string // patterns
}

func (w *want) tree() bool { return w.kind >= wantLinked }

// entered reports whether w is a directory whose files are wanted. A parent directory of
// a chart cannot be part of the chart.
func (w *want) entered() bool {
	around := w.kind == wantLinked && (w.place == "." || strings.HasPrefix(w.path, w.place+"/"))
	return w.tree() && w.dir && !around
}

// sums reports whether the sums of files are needed from the start, because
// they are compared with digests.
func (w *want) sums() bool { return w.kind <= wantChart }

// below returns the slash-separated path p, which is in the place of w, relative to it.
func (w *want) below(p string) string {
	if w.place == "." {
		return p
	}
	return strings.TrimPrefix(p, w.place+"/")
}

// named adds the names of the path p, which belongs to w: its own name, and the one
// below the path of the input.
func (w *want) named(p string, to map[string]bool) {
	to[p] = true
	base := w.path
	if w.kind == wantGlob {
		base = w.start
	}
	switch {
	case !w.found || w.place == base:
	case w.entered() && (w.place == "." || strings.HasPrefix(p, w.place+"/")):
		to[path.Join(base, w.below(p))] = true
	default:
		to[base] = true
	}
}

// matches reports whether the path p, which is in the place of the glob w, matches.
func (w *want) matches(p string) bool {
	at := strings.Split(w.logical(p), "/")
	return glob.Match(w.parts, at) && !glob.MatchAny(w.exclude, at)
}

// logical returns the path p, which is in the place of the glob w, as seen by a search.
func (w *want) logical(p string) string { return path.Join(w.start, w.below(p)) }

// An active is a tree that contains a directory.
type active struct {
	want  *want
	state dockerignore.State // of the directory, in a context
}

// accepts reports whether the tree includes the path p, relative to the workspace.
func (a *active) accepts(p string, isDir bool) bool {
	switch a.want.kind {
	case wantChart, wantLinked:
		return !isDir
	case wantGlob:
		return !isDir && a.want.matches(p)
	}
	if a.want.match == nil {
		return true
	}
	out, _ := a.want.match.Out(a.want.below(p), a.state)
	return !out
}

// enter returns the tree for the directory p, and whether the tree includes it.
func (a *active) enter(p string) (active, bool) {
	switch a.want.kind {
	case wantChart, wantLinked:
		return *a, true
	case wantGlob:
		return *a, !glob.Skip(a.want.parts, a.want.exclude, strings.Split(a.want.logical(p), "/"))
	}
	if a.want.match == nil {
		return *a, true
	}
	rel := a.want.below(p)
	out, state := a.want.match.Out(rel, a.state)
	return active{a.want, state}, !out || a.want.match.Within(rel)
}

// resolve resolves the path of w.
func (w *want) resolve(root string) {
	w.hops, w.place, w.found, w.dir, w.valid = nil, "", false, false, false
	p := w.path
	if w.kind == wantGlob {
		p = w.start
	}
	at, isDir := ".", true
	left, links := strings.Split(path.Clean(p), "/"), 0
	for len(left) > 0 {
		name := left[0]
		left = left[1:]
		switch {
		case name == "", name == ".":
			continue
		case name == ".." && at == ".":
			return // outside of the workspace
		case name == "..":
			at, isDir = path.Dir(at), true
			continue
		case !isDir:
			return
		}
		abs := filepath.Join(root, filepath.FromSlash(at), name)
		info, err := os.Lstat(abs)
		w.hops = append(w.hops, hop{dir: at, name: name, link: err == nil && info.Mode()&os.ModeSymlink != 0})
		if err != nil {
			return
		}
		if info.Mode()&os.ModeSymlink == 0 {
			at, isDir = path.Join(at, name), info.IsDir()
			continue
		}
		target, err := os.Readlink(abs)
		if links++; err != nil || links > 40 {
			return
		}
		if filepath.IsAbs(target) {
			rel, err := filepath.Rel(root, target)
			if err != nil || !filepath.IsLocal(rel) {
				return
			}
			at, target = ".", rel
		}
		left = append(strings.Split(filepath.ToSlash(target), "/"), left...)
	}
	w.place, w.found, w.dir = at, true, isDir
}

// wanted returns the wants of inputs and builds, by their keys. Ignores
// returns the patterns in the first of the named files, and marks the
// names to be watched.
func wanted(inputs []*input, builds []plan.BuildSpec, ignores func(names ...string) []string) map[wantKey]*want {
	wants := map[wantKey]*want{}
	add := func(k wantKey, in *input) *want {
		w := wants[k]
		if w == nil {
			w = &want{kind: k.kind, path: k.path}
			wants[k] = w
		}
		if in != nil && !slices.Contains(w.inputs, in) {
			w.inputs = append(w.inputs, in)
		}
		return w
	}
	contexts := map[string][]plan.BuildSpec{}
	for _, b := range builds {
		if b.Source.Git == "" {
			p := path.Join(b.Source.Path, b.Context)
			contexts[p] = append(contexts[p], b)
		}
	}
	for _, in := range inputs {
		switch in.Kind {
		case plan.InputRemote: // it is not a file of the workspace
		case plan.InputChart:
			add(wantKey{kind: wantChart, path: in.Path}, in)
		case plan.InputGlob:
			w := add(wantKey{wantGlob, in.Path, strings.Join(in.Exclude, "\n")}, in)
			w.parts = strings.Split(in.Path, "/")
			w.start, w.exclude = glob.Start(w.parts), nil
			for _, e := range in.Exclude {
				w.exclude = append(w.exclude, strings.Split(e, "/"))
			}
		case plan.InputContext:
			of := contexts[in.Path]
			if len(of) == 0 { // from an evaluation that failed
				of = []plan.BuildSpec{{Source: plan.Source{Path: in.Path}, Context: "."}}
			}
			for _, b := range of {
				patterns, _ := dockerignore.Patterns(b, func(names ...string) ([]string, error) {
					for _, name := range names {
						add(wantKey{kind: wantIgnore, path: name}, in)
					}
					return ignores(names...), nil
				})
				w := add(wantKey{wantContext, in.Path, strings.Join(patterns, "\n")}, in)
				if w.match == nil && len(patterns) > 0 {
					w.match, _ = dockerignore.New(patterns) // Parse has validated them
				}
			}
		default:
			add(wantKey{kind: wantFile, path: in.Path}, in)
		}
	}
	return wants
}

// inputKey identifies an input.
type inputKey struct {
	path    string
	kind    plan.InputKind
	exclude string
}

func keyOf(in plan.Input) inputKey {
	return inputKey{in.Path, in.Kind, strings.Join(in.Exclude, "\n")}
}

// sortedInputs returns inputs in the order of a plan.
func sortedInputs(set map[inputKey]plan.Input) []plan.Input {
	return slices.SortedFunc(maps.Values(set), func(a, b plan.Input) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind), slices.Compare(a.Exclude, b.Exclude))
	})
}
