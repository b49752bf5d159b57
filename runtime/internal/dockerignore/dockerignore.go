// Package dockerignore decides which files are excluded from a build context.
package dockerignore

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/pipelinefile/pipe/plan"
)

// Names returns the files that can exclude files from the local context of
// spec, as slash-separated paths relative to the workspace: that of the Dockerfile and
// that of the context. Only the first one that exists is used.
func Names(spec plan.BuildSpec) [2]string {
	return [2]string{
		path.Join(spec.Source.Path, spec.Dockerfile) + ".dockerignore",
		path.Join(spec.Source.Path, spec.Context, ".dockerignore"),
	}
}

// Patterns returns the patterns of what is excluded from the local context of spec: those in the
// first of its files that exists, which read returns; or, if the command of spec declares inputs,
// everything else. What the command writes is excluded, too.
func Patterns(spec plan.BuildSpec, read func(names ...string) ([]string, error)) (patterns []string, err error) {
	names := Names(spec)
	switch c := spec.Command; {
	case c != nil && len(c.Inputs) > 0:
		patterns = []string{"**"}
		for _, p := range c.Inputs {
			if out, isException := strings.CutPrefix(p, "!"); isException {
				patterns = append(patterns, out)
			} else {
				patterns = append(patterns, "!"+p)
			}
		}
	case spec.Dockerfile == "":
		patterns, err = read(names[1])
	default:
		patterns, err = read(names[:]...)
	}
	if spec.Command != nil && spec.Command.Output != "" {
		patterns = append(slices.Clip(patterns), spec.Command.Output)
	}
	return patterns, err
}

// Parse returns the patterns in a file. The error names the first invalid one.
func Parse(text []byte) ([]string, error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, p := range patterns {
		if _, err := patternmatcher.New([]string{p}); err != nil {
			return nil, fmt.Errorf("%q is not a valid pattern: %w", p, err)
		}
	}
	return patterns, nil
}

// A Matcher matches the paths of one context. It is not safe for concurrent use.
type Matcher struct {
	match      *patternmatcher.PatternMatcher
	exceptions [][]string // patterns that begin with "!", split at slashes
}

// New returns the matcher of the patterns that [Parse] returned.
func New(patterns []string) (*Matcher, error) {
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, err
	}
	out := &Matcher{match: m}
	for _, p := range m.Patterns() {
		if p.Exclusion() {
			out.exceptions = append(out.exceptions, strings.Split(filepath.ToSlash(p.String()), "/"))
		}
	}
	return out, nil
}

// A State is the result of matching a directory, used to match its content.
type State struct{ info patternmatcher.MatchInfo }

// Out reports whether the file or directory at the slash-separated path p, relative to
// the context, is excluded. Parent is the state of its directory, or the zero State
// at the top of the context; the second result is the state of p.
func (m *Matcher) Out(p string, parent State) (bool, State) {
	out, info, err := m.match.MatchesUsingParentResults(p, parent.info)
	if err != nil { // an invalid pattern, which New has already refused
		return false, State{}
	}
	return out, State{info}
}

// Within reports whether something below an excluded directory can still be in
// the context because of a pattern that begins with "!".
func (m *Matcher) Within(dir string) bool {
	parts := strings.Split(dir, "/")
	return slices.ContainsFunc(m.exceptions, func(pattern []string) bool {
		for i, p := range pattern {
			if i == len(parts) || strings.Contains(p, "**") {
				return true
			}
			if ok, err := path.Match(p, parts[i]); err != nil || !ok {
				return false
			}
		}
		// The pattern matches the directory or one of its parents. Then another
		// pattern excludes the directory with all its content.
		return false
	})
}
