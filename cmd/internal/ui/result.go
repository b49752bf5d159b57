package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/pipelinefile/pipe/runtime"
)

// Result writes the outcome of a run for people: a line for each service, and
// one for all.
func Result(w io.Writer, namespace string, rec *runtime.RunRecord) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SERVICE\tSTAGE\tSTATE\tIMAGE\tTIME")
	counts := map[runtime.State]int{}
	for _, s := range rec.Services {
		counts[s.State]++
		took := ""
		if !s.Start.IsZero() && s.End.After(s.Start) {
			took = seconds(s.End.Sub(s.Start))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", s.Service, s.Stage, s.State, short(s.Image), took)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	var parts []string
	for _, state := range []runtime.State{
		runtime.Done, runtime.Unchanged, runtime.Skipped, runtime.Failed, runtime.Cancelled, runtime.Waiting,
	} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing to do"}
	}
	fmt.Fprintf(&b, "%s %s: %s, in %s\n", rec.Action, namespace, strings.Join(parts, ", "), seconds(rec.End.Sub(rec.Start)))
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// short is an image's digest in as few characters as tell it from others.
func short(image string) string {
	_, hex, ok := strings.Cut(image, "@sha256:")
	if !ok {
		return image
	}
	return "sha256:" + hex[:min(12, len(hex))]
}

// trimLines removes the blanks at the ends of lines that a table leaves.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}
