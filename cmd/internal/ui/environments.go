package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

// table writes rows of tab-separated cells as aligned columns.
func table(w io.Writer, rows func(row func(cells ...string))) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	rows(func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")) })
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// Environments writes a list of environments in human-readable form.
func Environments(w io.Writer, list inspect.Environments, now time.Time) error {
	if len(list.Environments)+len(list.Damaged) == 0 {
		_, err := fmt.Fprintln(w, "no environments: pipe run --env NAME creates one")
		return err
	}
	return table(w, func(row func(...string)) {
		row("PIPELINE", "ENVIRONMENT", "KIND", "OF", "BRANCH", "SERVICES", "SKIPPED", "DELETED IN")
		for _, e := range list.Environments {
			row(e.Pipeline, e.Name, string(e.Kind), e.Source, e.Branch, fmt.Sprint(e.Services), fmt.Sprint(len(e.Skipped)), left(e.Expires, now))
		}
		for _, d := range list.Damaged {
			row(d.Pipeline, d.Name, "damaged", d.Object+": "+clip(clean(d.Reason)))
		}
	})
}

// left returns the time that is left until t.
func left(t, now time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case !t.After(now):
		return "now"
	}
	return age(t.Sub(now))
}

// age formats a long duration roughly: "12s", "5m", "3h", "4d".
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// Made reports an environment that was created.
func Made(w io.Writer, e inspect.Environment) error {
	text := fmt.Sprintf("created environment %s of pipeline %s, a %s of %s", e.Name, e.Pipeline, e.Kind, e.Source)
	if e.Kind == plan.KindPreview {
		text += ", branch " + e.Branch
	}
	text += ": " + count(e.Services, "service")
	if len(e.Skipped) > 0 {
		text += ", skipped " + strings.Join(e.Skipped, ", ")
	}
	if !e.Expires.IsZero() {
		text += "\nit is deleted after " + e.Expires.Format(time.RFC3339)
	}
	_, err := fmt.Fprintf(w, "%s\nnothing is deployed yet: pipe deploy %s\n", text, e.Name)
	return err
}

// History writes the runs of an environment in human-readable form.
func History(w io.Writer, h inspect.History) error {
	if len(h.Runs) == 0 {
		_, err := fmt.Fprintf(w, "no run of environment %s of pipeline %s is recorded\n", h.Environment, h.Pipeline)
		return err
	}
	return table(w, func(row func(...string)) {
		row("RUN", "ACTION", "BY", "START", "TIME", "COMMIT", "RESULT")
		for i := range h.Runs {
			r := &h.Runs[i]
			took := ""
			if !r.End.IsZero() {
				took = seconds(r.End.Sub(r.Start))
			}
			action := string(r.Action)
			if r.RollbackTo != "" {
				action = "rollback to " + r.RollbackTo
			}
			row(r.ID, action, r.By, r.Start.UTC().Format(time.DateTime), took, r.Commit[:min(len(r.Commit), 10)], runResult(r))
		}
	})
}

// runResult returns the result of a run in one line.
func runResult(r *runtime.RunRecord) string {
	if r.End.IsZero() {
		return "has not ended, or its process died"
	}
	text := countStates(r.Services)
	if removed := r.Removed(); len(removed) > 0 {
		text += ", pruned " + strings.Join(removed, ", ")
	}
	if r.Error != "" {
		first, _, _ := strings.Cut(r.Error, "\n")
		text += ": " + clip(clean(first))
	}
	return text
}

// A Going is what a deletion removes.
type Going struct {
	Environment runtime.EnvironmentKey
	Plan        *plan.Plan // nil: not known
	Releases    []runtime.Place
	Further     []string // namespaces besides that of Environment
	Whole       bool     // the whole environment, not only some of its services
	KeepVolumes bool
}

// ListGoing writes what a deletion removes.
func ListGoing(w io.Writer, g Going) error {
	var b strings.Builder
	fmt.Fprintf(&b, "This deletes, in namespace %s:\n", g.Environment.Namespace())
	for _, place := range g.Releases {
		name := place.Name
		what := "its service is not known: the record of the environment is damaged"
		if g.Plan != nil {
			what = "its service is no longer in the plan"
			if s := g.Plan.Service(name); s != nil {
				what = string(s.Type)
				if g.Environment.NamespaceOf(s) != place.Namespace {
					what += ", which is in another namespace now"
				}
				if s.Skip {
					what += ", skipped"
				}
			}
		}
		fmt.Fprintf(&b, "  release %s (%s)\n", place.In(g.Environment.Namespace()), what)
	}
	if len(g.Releases) == 0 {
		b.WriteString("  no release: nothing is deployed\n")
	}
	if g.Whole {
		switch stores := storing(g.Plan); {
		case g.KeepVolumes:
		case g.Plan == nil:
			b.WriteString("  the volumes of these services, with all data\n")
		case len(stores) > 0:
			fmt.Fprintf(&b, "  the volumes of %s, with all data\n", strings.Join(stores, ", "))
		}
		if !g.KeepVolumes {
			b.WriteString("  the secrets, the credentials of databases and, if pipe created it, the namespace\n")
		}
		for _, namespace := range g.Further {
			fmt.Fprintf(&b, "  the namespace %s, if pipe created it for this environment and nothing else is in it\n", namespace)
		}
		b.WriteString("  the records of its runs, unless they are kept in a separate namespace\n")
		if g.KeepVolumes {
			b.WriteString("Its volumes, the credentials of its databases and the namespace are kept.\n")
		}
	} else {
		b.WriteString("Volumes, credentials and the rest of the environment are kept.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// storing returns the services that store data in volumes, and the disks.
func storing(p *plan.Plan) []string {
	var names []string
	if p != nil {
		for _, s := range p.Services {
			if s.Workload.Database != nil || len(s.Workload.Volumes) > 0 {
				names = append(names, s.Name)
			}
		}
		for _, d := range p.Disks() {
			names = append(names, "disk "+d.Claim)
		}
	}
	return names
}
