package doc

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Write writes entries for people.
func Write(w io.Writer, entries []Entry) error {
	var b strings.Builder
	for i, e := range entries {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s, %s\n", e.Name, e.Kind)
		block(&b, e.Signature)
		if e.Text != "" {
			fmt.Fprintf(&b, "\n%s\n", e.Text)
		}
		for _, list := range []struct {
			title string
			of    []Parameter
		}{{"parameters", e.Params}, {"attributes", e.Attrs}} {
			if len(list.of) == 0 {
				continue
			}
			fmt.Fprintf(&b, "\n%s\n", list.title)
			for _, p := range list.of {
				fmt.Fprintf(&b, "  %s: %s\n      %s\n", p.Name, p.Type, p.about())
			}
		}
		block(&b, e.Example)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// about describes a parameter and its choices.
func (p Parameter) about() string {
	var parts []string
	if p.Help != "" {
		parts = append(parts, p.Help)
	}
	if len(p.Choices) > 0 {
		parts = append(parts, "one of "+strings.Join(p.Choices, ", "))
	}
	if p.Default != "" {
		parts = append(parts, "default "+p.Default)
	}
	return strings.Join(parts, "; ")
}

// block writes a text indented, after an empty line.
func block(b *strings.Builder, text string) {
	if text == "" {
		return
	}
	b.WriteString("\n")
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "    %s\n", strings.TrimRight(line, "\n"))
	}
}

// List writes all names with their summaries, by kind.
func List(w io.Writer, entries []Entry) error {
	var b strings.Builder
	for _, t := range titles {
		fmt.Fprintf(&b, "%s\n", t.title)
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, e := range entries {
			if e.Kind == t.kind {
				fmt.Fprintf(table, "  %s\t%s\n", e.Name, e.Summary)
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
		b.WriteString("\n")
	}
	b.WriteString("For details: pipe doc NAME\n")
	_, err := io.WriteString(w, b.String())
	return err
}
