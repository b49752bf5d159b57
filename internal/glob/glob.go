// Package glob matches slash-separated paths with the patterns of glob(). Paths and
// patterns are passed split at their slashes. In a pattern, ** matches any number of
// directories. A name that starts with a dot matches only if the pattern has the dot.
package glob

import (
	"path"
	"slices"
	"strings"
)

// Start returns the directory in which the search for a pattern begins: the leading parts
// of the pattern without wildcards, or "." if it has none.
func Start(pattern []string) string {
	fixed := 0
	for fixed < len(pattern)-1 && !strings.ContainsAny(pattern[fixed], `*?[\`) {
		fixed++
	}
	return path.Join(append([]string{"."}, pattern[:fixed]...)...)
}

// Skip reports whether the search skips the directory name, because nothing below it can
// match, exclude matches it, or it belongs to git.
func Skip(pattern []string, exclude [][]string, name []string) bool {
	return name[len(name)-1] == ".git" || !Within(pattern, name) || MatchAny(exclude, name)
}

// MatchAny reports whether name matches one of the patterns.
func MatchAny(patterns [][]string, name []string) bool {
	return slices.ContainsFunc(patterns, func(p []string) bool { return Match(p, name) })
}

// Match reports whether name matches pattern. Its time is at most proportional to the
// product of both lengths, whatever the pattern is.
func Match(pattern, name []string) bool {
	return step(pattern, name)[len(pattern)]
}

// Within reports whether a path below the directory name can match.
func Within(pattern, name []string) bool {
	return slices.Contains(step(pattern, name)[:len(pattern)], true)
}

// step returns, for each length, whether the prefix of pattern of that length matches name.
func step(pattern, name []string) []bool {
	reach := make([]bool, len(pattern)+1)
	reach[0] = true
	skip := func(r []bool) { // ** also matches no directory
		for i, p := range pattern {
			if p == "**" && r[i] {
				r[i+1] = true
			}
		}
	}
	skip(reach)
	for _, part := range name {
		next := make([]bool, len(pattern)+1)
		for i, p := range pattern {
			if !reach[i] {
				continue
			}
			hidden := strings.HasPrefix(part, ".") && !strings.HasPrefix(p, ".")
			if p == "**" {
				next[i] = next[i] || !hidden
				continue
			}
			if ok, _ := path.Match(p, part); ok && !hidden {
				next[i+1] = true
			}
		}
		skip(next)
		reach = next
	}
	return reach
}
