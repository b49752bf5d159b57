package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/pipelinefile/pipe/runtime"
)

// Result writes the outcome of a run in human-readable form: a line for each service, and
// a summary line.
func Result(w io.Writer, namespace string, rec *runtime.RunRecord) error {
	err := table(w, func(row func(...string)) {
		row("SERVICE", "STAGE", "STATE", "IMAGE", "TIME")
		for _, s := range rec.Services {
			took := ""
			if !s.Start.IsZero() && s.End.After(s.Start) {
				took = seconds(s.End.Sub(s.Start))
			}
			row(s.Service, s.Stage, string(s.State), short(s.Image), took)
		}
	})
	if removed := rec.Removed(); err == nil && len(removed) > 0 {
		_, err = fmt.Fprintf(w, "pruned: %s\n", strings.Join(removed, ", "))
	}
	if err == nil {
		more := ""
		if rec.Ahead > 0 {
			more = fmt.Sprintf("; images of later stages were built ahead for %s", seconds(rec.Ahead))
		}
		if rec.Scanned > 0 {
			more += fmt.Sprintf("; %s scanned for vulnerabilities", count(rec.Scanned, "image"))
		}
		_, err = fmt.Fprintf(w, "%s %s: %s, in %s%s\n", rec.Action, namespace, countStates(rec.Services), seconds(rec.End.Sub(rec.Start)), more)
	}
	return err
}

// countStates counts the services by their final state.
func countStates(services []runtime.ServiceRecord) string {
	counts := map[runtime.State]int{}
	for _, s := range services {
		counts[s.State]++
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
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// short shortens an image's digest, while keeping it distinguishable.
func short(image string) string {
	_, hex, ok := strings.Cut(image, "@sha256:")
	if !ok {
		return image
	}
	return "sha256:" + hex[:min(12, len(hex))]
}

// trimLines removes the trailing blanks that a table leaves.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// Settled writes the outcome of an environment that has settled.
func Settled(w io.Writer, environment, problem string, services []runtime.ServiceRecord) error {
	var all []runtime.LeftAlone
	for _, s := range services {
		if s.LeftAlone != nil {
			all = append(all, *s.LeftAlone)
		}
	}
	alone := leftAloneText(all)
	if problem == "" {
		what := "everything is deployed"
		if alone != "" {
			what = "everything else is deployed; " + alone
		}
		_, err := fmt.Fprintf(w, "%s has settled: %s\n", environment, what)
		return err
	}
	if _, err := fmt.Fprintf(w, "%s has settled: %s%s\n", environment, problem, after("; ", alone)); err != nil {
		return err
	}
	return table(w, func(row func(...string)) {
		for _, s := range services {
			if s.State == runtime.Failed {
				row("", s.Service, clean(s.Error))
			}
		}
	})
}
