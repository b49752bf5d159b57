package lsp

import (
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"go.starlark.net/syntax"
)

// TestPositions compares positions with those found by counting every character,
// in random texts with long lines.
func TestPositions(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	parts := []string{"a", "name", " ", "é", "€", "🙂", "\t", "x = 1; "}
	ends := []string{"\n", "\r\n", "\r"}
	for range 30 {
		var b strings.Builder
		for range r.IntN(5) + 1 {
			for range r.IntN(1500) {
				b.WriteString(parts[r.IntN(len(parts))])
			}
			b.WriteString(ends[r.IntN(len(ends))])
		}
		data := b.String()
		tx := newText(data)
		for off := range data {
			line := sort.SearchInts(tx.lines, off+1) - 1
			if got, want := tx.position(off), (position{line, utf16Count(data[tx.lines[line]:off])}); got != want {
				t.Fatalf("position(%d) = %v, want %v in %q", off, got, want, data)
			}
		}
		for n := range tx.lines {
			line := tx.line(n)
			for col := 1; col <= len([]rune(line))+3; col++ {
				at := syntax.MakePosition(nil, int32(n+1), int32(col))
				if got, want := tx.at(at), tx.lines[n]+runes(line, col-1); got != want {
					t.Fatalf("at(%v) = %d, want %d in %q", at, got, want, data)
				}
			}
		}
	}
	for _, data := range []string{"", "\xff\xff = 1\n" + strings.Repeat("\xff", 3000)} { // empty, and invalid UTF-8
		tx := newText(data)
		for off := range len(data) + 1 {
			line := sort.SearchInts(tx.lines, off+1) - 1
			if got, want := tx.position(off), (position{line, utf16Count(data[tx.lines[line]:off])}); got != want {
				t.Errorf("position(%d) = %v, want %v in %.20q", off, got, want, data)
			}
		}
	}
}
