// Package misspell finds the name that was most likely meant by a misspelt one.
package misspell

import "strings"

// Nearest returns the candidate that name is most likely a misspelling of, or "". If
// several are equally near, the first one is returned, so pass candidates in a stable
// order.
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
			continue // no character of it would remain
		}
		// Of two that differ only in case, the one written like name wins.
		if e := distance(name, c, 100); d < least || best != "" && d == least && e < exact {
			best, least, exact = c, d, e
		}
	}
	return best
}

// MaxErrors is the number of errors of one kind for which a caller searches a name: the work
// is the number of errors times the number of names.
const MaxErrors = 100

// Fold returns name in lower case and without separators, which is where most
// misspellings are.
func Fold(name string) string { return strings.ToLower(unseparated.Replace(name)) }

var unseparated = strings.NewReplacer("_", "", "-", "", " ", "")

// maxCandidates is the maximum number of candidates that are compared. Each comparison
// takes about a microsecond.
const maxCandidates = 2000

// MaxName is the maximum length in bytes of a name that is compared.
const MaxName = 400

// distance returns the edit distance of a and b, in which swapped neighbours are one
// edit. It returns at most most.
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
