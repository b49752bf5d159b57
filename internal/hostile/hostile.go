// Package hostile is a corpus of Pipelinefiles that try to take all time or all
// memory: for tests of what reads Pipelinefiles (L4).
package hostile

import (
	_ "embed"
	"fmt"
	"maps"
	"strings"
)

// A Program is a Pipelinefile of the corpus.
type Program struct {
	Name string
	Text string
	// Right says that nothing is wrong with it: it is only large. Evaluation of the
	// others ends with an error that has a position.
	Right bool
}

//go:embed programs.txt
var small string

// Programs returns the corpus in a fixed order.
func Programs() []Program {
	var out []Program
	for part := range strings.SplitSeq("\n"+small, "\n=== ") {
		if name, text, ok := strings.Cut(part, "\n"); ok && name != "" {
			out = append(out, Program{Name: name, Text: head + text})
		}
	}
	wrong := deep()
	maps.Copy(wrong, collide())
	maps.Copy(wrong, many())
	for _, name := range sorted(wrong) {
		out = append(out, Program{Name: name, Text: head + wrong[name]})
	}
	right := large()
	for _, name := range sorted(right) {
		out = append(out, Program{Name: name, Text: head + right[name], Right: true})
	}
	return out
}

const head = "pipeline('p')\n"

// lines returns n lines, made by a format with a number in it.
func lines(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
