package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pipelinefile/pipe/runtime/view"
)

// Status writes how an environment stands for people: its stages in order, a
// line for each service, below it what is not as it should be.
func Status(w io.Writer, st view.Status) error {
	var b strings.Builder
	e := st.Environment
	fmt.Fprintf(&b, "%s: environment %s, namespace %s\n", e.Pipeline, e.Name, e.Namespace)
	if e.Source != "" {
		fmt.Fprintf(&b, "a %s of %s", e.Kind, e.Source)
		if e.Branch != "" {
			fmt.Fprintf(&b, ", branch %s", e.Branch)
		}
		if !e.Expires.IsZero() {
			fmt.Fprintf(&b, ", deleted in %s", left(e.Expires, st.At))
		}
		b.WriteString("\n")
	}
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\n  SERVICE\tHEALTH\tPODS\tREVISION\tAGE\tIMAGE")
	for i, stage := range st.Stages {
		if len(stage.Services) == 0 {
			continue
		}
		fmt.Fprintf(tw, "stage %d: %s\n", i+1, stage.Name)
		for _, s := range stage.Services {
			statusLine(tw, s, st.At)
		}
	}
	if len(st.Others) > 0 {
		fmt.Fprintln(tw, "not in the plan")
		for _, s := range st.Others {
			statusLine(tw, s, st.At)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	b.WriteString("\n" + sumHealth(st) + "\n")
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

func statusLine(w io.Writer, s view.Service, now time.Time) {
	health := string(s.Health)
	if s.Skipped != "" {
		health = "skipped"
		if s.Health != view.Absent {
			health += ", " + string(s.Health)
		}
	}
	pods, revision, old := "", "", ""
	if s.Want > 0 || s.Ready > 0 {
		pods = fmt.Sprintf("%d/%d", s.Ready, s.Want)
	}
	if s.Revision > 0 {
		revision = fmt.Sprint(s.Revision)
	}
	if !s.Updated.IsZero() {
		old = age(now.Sub(s.Updated))
	}
	fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\n", s.Name, health, pods, revision, old, short(s.Image))
	if s.Reason != "" {
		fmt.Fprintf(w, "      %s\n", clip(clean(s.Reason)))
	}
	for _, d := range s.Drift {
		fmt.Fprintf(w, "      drift: %s\n", d)
	}
	if s.Restarts > 0 && !s.Health.Good() {
		fmt.Fprintf(w, "      restarted %s\n", count(s.Restarts, "time"))
	}
}

// sumHealth is the last line: how many services there are of each health.
func sumHealth(st view.Status) string {
	var parts []string
	counts := st.Counts()
	for _, h := range []view.Health{view.Healthy, view.Changing, view.Degraded, view.Failed, view.Stopped, view.Absent} {
		if n := counts[h]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, h))
		}
	}
	if n := len(st.Environment.Skipped); n > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", n))
	}
	if len(parts) == 0 {
		return "no services"
	}
	return strings.Join(parts, ", ")
}
