// Package glob matches slash-separated paths with the patterns of glob(). Paths
// and patterns are split at their slashes. In a pattern, ** stands for any number
// of directories; a name that starts with a dot matches only where the pattern
// has the dot.
package glob

import (
	"path"
	"slices"
	"strings"
)

// Start returns the directory in which the search for a pattern begins: its
// leading parts without wildcards, "." if it has none.
func Start(pattern []string) string {
	fixed := 0
	for fixed < len(pattern)-1 && !strings.ContainsAny(pattern[fixed], `*?[\`) {
		fixed++
	}
	return path.Join(append([]string{"."}, pattern[:fixed]...)...)
}

// Skip reports whether the search does not go into the directory name: nothing
// below it can match, it is left out by exclude, or it belongs to git.
func Skip(pattern []string, exclude [][]string, name []string) bool {
	return name[len(name)-1] == ".git" || !Within(pattern, name) || MatchAny(exclude, name)
}

// MatchAny reports whether name matches one of the patterns.
func MatchAny(patterns [][]string, name []string) bool {
	return slices.ContainsFunc(patterns, func(p []string) bool { return Match(p, name) })
}

// Match reports whether name matches pattern. The work is the product of both
// lengths, whatever the pattern.
func Match(pattern, name []string) bool {
	return step(pattern, name)[len(pattern)]
}

// Within reports whether something below the directory name can match.
func Within(pattern, name []string) bool {
	return slices.Contains(step(pattern, name)[:len(pattern)], true)
}

// step returns for each length of pattern whether that much of it matches all of name.
func step(pattern, name []string) []bool {
	reach := make([]bool, len(pattern)+1)
	reach[0] = true
	skip := func(r []bool) { // ** matches nothing, too
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
