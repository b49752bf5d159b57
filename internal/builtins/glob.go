package builtins

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/glob"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/plan"
)

type globArgs struct {
	Pattern string   `arg:"pattern" path:"file" help:"a path with *, ?, [a-z] in its names, and ** for any number of directories"`
	Exclude []string `arg:"exclude,kw" default:"[]" help:"patterns of files to leave out"`
}

var globFunc = define("glob", "list[str]",
	"Returns the files that match a pattern, sorted. Pattern and results are relative to the file of the call. "+
		"Names that start with a dot match only where the pattern has the dot; directories do not match.",
	func(c *Call, a *globArgs) (starlark.Value, error) {
		src, _ := c.Session.caller(c.Thread)
		base := "."
		if src != nil {
			base = path.Dir(src.Name)
		}
		full, p := paths.Resolve(base, a.Pattern)
		if p == nil {
			p = checkPattern(full)
		}
		if p != nil {
			return nil, c.Reject("pattern", p)
		}
		var exclude [][]string
		for i, e := range a.Exclude {
			e, p := paths.Resolve(base, e)
			if p == nil {
				p = checkPattern(e)
			}
			if p != nil {
				return nil, c.Reject("exclude", p.In(i))
			}
			exclude = append(exclude, strings.Split(e, "/"))
		}
		matches, err := c.Session.Files.glob(c.Session.Meter, full, exclude)
		if bound(err) {
			return nil, err
		}
		if err != nil {
			return nil, c.Reject("pattern", explain.Errorf("%v", err))
		}
		out := make([]starlark.Value, len(matches))
		for i, m := range matches {
			out[i] = starlark.String(relative(base, m))
		}
		return starlark.NewList(out), nil
	})

func checkPattern(pattern string) *explain.Error {
	if len(pattern) > maxPattern {
		return explain.Errorf("a pattern has at most %d characters", maxPattern)
	}
	for _, part := range strings.Split(pattern, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return explain.Errorf("%q is not a valid pattern: %q has a bracket that is not closed", explain.Clip(pattern), explain.Clip(part))
		}
		if part != "**" && strings.Contains(part, "**") {
			return explain.Errorf("%q: ** matches directories, and must be a whole element of the path", explain.Clip(pattern))
		}
	}
	return nil
}

// relative returns target, a path below the root, relative to the directory base.
func relative(base, target string) string {
	if base == "." {
		return target
	}
	from, to := strings.Split(base, "/"), strings.Split(target, "/")
	n := 0
	for n < len(from) && n < len(to)-1 && from[n] == to[n] {
		n++
	}
	return strings.Repeat("../", len(from)-n) + strings.Join(to[n:], "/")
}

const (
	maxGlobbed = 1_000_000 // directories and files that one glob visits
	maxPattern = 4096
)

// glob returns the files that match the pattern, sorted. It enters only directories that
// can contain matches.
func (f *Files) glob(m *bounded.Meter, pattern string, exclude [][]string) ([]string, error) {
	parts := strings.Split(pattern, "/")
	start := glob.Start(parts)
	out, err := f.find(m, start, parts, exclude)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, readable(pattern, err)
	}
	slices.Sort(out)
	in := plan.Input{Path: pattern, Kind: plan.InputGlob, Digest: plan.DigestOf([]byte(strings.Join(out, "\n")))}
	for _, e := range exclude {
		in.Exclude = append(in.Exclude, strings.Join(e, "/"))
	}
	f.add(in)
	return out, nil
}

// find returns the files below start that match. It takes as long as the file system
// takes, but ends with the context.
func (f *Files) find(m *bounded.Meter, start string, parts []string, exclude [][]string) ([]string, error) {
	type found struct {
		names []string
		steps uint64
	}
	if err := m.Charge(folderSteps); err != nil {
		return nil, err
	}
	cost := uint64(len(parts))
	for _, e := range exclude {
		cost += uint64(len(e))
	}
	ctx, left := m.Context(), m.Left()
	got, err := bounded.Await(m, bounded.AwaitAlways, func() (found, error) {
		var got found
		seen := 0
		err := fs.WalkDir(f.root.FS(), start, func(name string, e fs.DirEntry, err error) error {
			if seen++; seen > maxGlobbed {
				return errors.New("more than a million files: give a directory to search")
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				if e != nil && e.IsDir() && name != start {
					return fs.SkipDir // not readable for us
				}
				return nil
			}
			if name == "." {
				return nil
			}
			at := strings.Split(name, "/")
			if got.steps += fileSteps + uint64(len(name)) + cost*uint64(len(at)); got.steps > left {
				return bounded.ErrSteps
			}
			if e.IsDir() {
				got.steps += folderSteps
				if glob.Skip(parts, exclude, at) {
					return fs.SkipDir
				}
				return nil
			}
			if glob.Match(parts, at) && !glob.MatchAny(exclude, at) {
				got.names = append(got.names, name)
			}
			return nil
		})
		return got, err
	})
	if err != nil {
		return nil, err
	}
	return got.names, m.Charge(got.steps)
}
