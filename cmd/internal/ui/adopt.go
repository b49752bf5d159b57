package ui

import (
	"strings"

	"github.com/pipelinefile/pipe/runtime"
)

// adoptText returns the lines about an object that a service takes over: one that names it,
// and how it changes.
func adoptText(service string, a runtime.Adoption) string {
	lines := []string{service + ": " + a.String()}
	for line := range strings.Lines(a.Diff) {
		lines = append(lines, "    "+clean(strings.TrimSuffix(line, "\n")))
	}
	return strings.Join(lines, "\n")
}
