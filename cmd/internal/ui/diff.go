package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

// Diff writes the changes that a deploy would make, in human-readable form.
func Diff(w io.Writer, d inspect.Diff) error {
	var b strings.Builder
	counts := map[runtime.State]int{}
	for _, s := range d.Services {
		counts[s.Do]++
		if s.Do == runtime.Unchanged || s.Do == runtime.Skipped {
			if s.Overridden != "" {
				fmt.Fprintf(&b, "%s %s: in stage %s, %s\n\n", s.Do, s.Service, s.Stage, s.Overridden)
			}
			continue
		}
		verb := "deploy"
		if s.Do == runtime.Deleting {
			verb = "delete"
		}
		fmt.Fprintf(&b, "%s %s: %s\n", verb, s.Service, s.Why)
		if s.Overridden != "" {
			fmt.Fprintf(&b, "  in stage %s, %s\n", s.Stage, s.Overridden)
		}
		for _, o := range s.Objects {
			fmt.Fprintf(&b, "  %s %s %s/%s\n", o.Do, o.Kind, o.Namespace, o.Name)
			for line := range strings.Lines(o.Diff) {
				b.WriteString("    " + line)
			}
		}
		if len(s.Objects) == 0 {
			b.WriteString("  its objects do not change\n")
		}
		b.WriteString("\n")
	}
	var parts []string
	for _, c := range []struct {
		do   runtime.State
		text string
	}{{runtime.Deploying, "to deploy"}, {runtime.Deleting, "to delete"}, {runtime.Unchanged, "unchanged"}, {runtime.Skipped, "skipped"}} {
		if n := counts[c.do]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.text))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no services"}
	}
	fmt.Fprintf(&b, "%s: %s\n", d.Namespace, strings.Join(parts, ", "))
	_, err := io.WriteString(w, b.String())
	return err
}
