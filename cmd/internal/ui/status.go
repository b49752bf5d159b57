package ui

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/runtime/inspect"
)

// Status writes the status of an environment in human-readable form: its stages in order,
// a line for each service, and below it the problems.
func Status(w io.Writer, st inspect.Status) error {
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
	rows := columns{{"  SERVICE", "HEALTH", "PODS", "REVISION", "AGE", "IMAGE"}}
	for i, stage := range st.Stages {
		if len(stage.Services) == 0 {
			continue
		}
		rows = append(rows, []string{fmt.Sprintf("stage %d: %s", i+1, stage.Name)})
		for _, s := range stage.Services {
			rows = append(rows, statusRows(s, st.At)...)
		}
	}
	if len(st.Others) > 0 {
		rows = append(rows, []string{"not in the plan"})
		for _, s := range st.Others {
			rows = append(rows, statusRows(s, st.At)...)
		}
	}
	b.WriteString("\n" + rows.String() + "\n" + sumHealth(st) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// columns are rows of cells. A row with one cell is a line between the others.
type columns [][]string

func (rows columns) String() string {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if len(width) <= i {
				width = append(width, 0)
			}
			if len(row) > 1 {
				width[i] = max(width[i], utf8.RuneCountInString(cell))
			}
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += fmt.Sprintf("%-*s  ", width[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// statusRows returns the row of a service, and its problems below it.
func statusRows(s inspect.Service, now time.Time) (rows columns) {
	health := string(s.Health)
	if s.Skipped != "" {
		health = "skipped"
		if s.Health != inspect.Absent && s.Health != inspect.Waiting {
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
	rows = append(rows, []string{"  " + s.Name, health, pods, revision, old, short(s.Image)})
	if s.Namespace != "" {
		rows = append(rows, []string{"      in namespace " + s.Namespace})
	}
	if s.Reason != "" {
		rows = append(rows, []string{"      " + clip(clean(s.Reason))})
	}
	for _, d := range s.Drift {
		rows = append(rows, []string{"      drift: " + d})
	}
	if s.Restarts > 0 && !s.Health.Good() {
		rows = append(rows, []string{"      restarted " + count(s.Restarts, "time")})
	}
	return rows
}

// sumHealth returns the last line: the number of services of each health.
func sumHealth(st inspect.Status) string {
	var parts []string
	counts := st.Counts()
	for _, h := range []inspect.Health{inspect.Healthy, inspect.Changing, inspect.Degraded, inspect.Failed, inspect.Stopped, inspect.Waiting, inspect.Absent} {
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
