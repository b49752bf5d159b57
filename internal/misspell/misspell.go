// Package misspell finds the name that a misspelt name most likely stands for.
package misspell

import "strings"

// Nearest returns the candidate that name is most likely a misspelling of, or
// "". Of equally near ones the first wins, so that candidates are given in an
// order that does not change.
func Nearest(name string, candidates []string) string {
	if len(name) > MaxName {
		return ""
	}
	fold := Fold(name)
	if fold == "" {
		return ""
	}
	best, least, exact := "", (len([]rune(fold))+1)/3+1, 0
	for _, c := range candidates[:min(len(candidates), maxCandidates)] {
		if c == name {
			continue
		}
		f := Fold(c)
		d := distance(fold, f, least)
		if d >= len([]rune(f)) && d > 0 {
			continue // nothing of it is left
		}
		// Of two that differ in case alone the one written like name wins.
		if e := distance(name, c, 100); d < least || best != "" && d == least && e < exact {
			best, least, exact = c, d, e
		}
	}
	return best
}

// Fold returns name in lower case and without separators: most misspellings are about
// these.
func Fold(name string) string { return strings.ToLower(unseparated.Replace(name)) }

var unseparated = strings.NewReplacer("_", "", "-", "", " ", "")

// maxCandidates limits the number of candidates that are compared, which takes about a
// microsecond for each.
const maxCandidates = 2000

// MaxName is the maximal length in bytes of a name that is compared.
const MaxName = 400

// distance returns the edit distance of a and b, where swapped neighbours are
// one edit; a distance of most or more is returned as most.
func distance(a, b string, most int) int {
	x, y := []rune(a), []rune(b)
	if abs(len(x)-len(y)) >= most || len(x) > 100 || len(y) > 100 {
		return most
	}
	var before, prev, row []int
	for j := range len(y) + 1 {
		prev = append(prev, j)
	}
	for i := range x {
		row = append(make([]int, 0, len(y)+1), i+1)
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			d := min(prev[j]+cost, prev[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				d = min(d, before[j-1]+1)
			}
			row = append(row, d)
		}
		before, prev = prev, row
	}
	return min(prev[len(y)], most)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
