package ui

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Failures writes the failures of a run of p, the first cause first: for each service its
// declaration, the cause, the evidence, and the next steps. Services that failed for the
// same cause are grouped. This wording exists only here.
func Failures(w io.Writer, p *plan.Plan, namespace string, failed []runtime.ServiceRecord, color bool) error {
	st := newStyles(color)
	failed = slices.Clone(failed)
	slices.SortStableFunc(failed, func(a, b runtime.ServiceRecord) int { return ended(a, b) })
	var b strings.Builder
	for i, c := range runtime.Causes(failed) {
		if i > 0 {
			b.WriteString("\n")
		}
		failure(&b, st, p, namespace, c)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ended compares the end times; a service whose end time is not known comes last.
func ended(a, b runtime.ServiceRecord) int {
	if a.End.IsZero() != b.End.IsZero() {
		if a.End.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.End.UnixNano(), b.End.UnixNano())
}

// shownNames is the maximum number of services that are listed for one cause.
const shownNames = 20

func failure(b *strings.Builder, st styles, p *plan.Plan, namespace string, c runtime.Cause) {
	f := c.Failed[0]
	var service *plan.Service
	if p != nil {
		service = p.Service(f.Service)
	}
	if service != nil && service.Namespace != "" {
		namespace = p.NamespaceOf(service)
	}
	var names []string
	stages := []string{f.Stage}
	for _, other := range c.Failed {
		names = append(names, other.Service)
		if !slices.Contains(stages, other.Stage) {
			stages = append(stages, other.Stage)
		}
	}
	if p != nil { // the order in which they ended means nothing
		order := make(map[string]int, len(p.Services))
		for i, s := range p.Services {
			order[s.Name] = i
		}
		slices.SortStableFunc(names, func(a, b string) int { return order[a] - order[b] })
	}
	head := st.bad.Render("error:") + " " + st.bold.Render(strings.Join(names[:min(len(names), shownNames)], ", "))
	if more := len(names) - shownNames; more > 0 {
		head += fmt.Sprintf(" and %d more", more)
	}
	if service != nil && !service.Pos.IsZero() && len(names) == 1 {
		head += fmt.Sprintf(" (%s)", service.Pos)
	}
	in := "stage " + stages[0]
	if len(stages) > 1 {
		in = "stages " + strings.Join(stages, ", ")
	}
	fmt.Fprintf(b, "%s in %s\n", head, in)
	cause, evidence := c.Text, f.Evidence
	var wanted []string // each line is shown in full
	if len(names) > 1 {
		all := missing(c.Failed)
		for _, m := range all {
			line := m.Wanted()
			if len(all) > 1 || len(m.Services) != len(names) { // otherwise their names are above
				line += ": " + strings.Join(m.Services[:min(len(m.Services), shownNames)], ", ")
				if more := len(m.Services) - shownNames; more > 0 {
					line += fmt.Sprintf(" and %d more", more)
				}
			}
			wanted = append(wanted, line)
		}
	}
	var build *runtime.BuildError
	if errors.As(f.Err, &build) {
		if !build.Pos.IsZero() && !strings.Contains(cause, build.Pos.String()) {
			cause += "\nat " + build.Pos.String()
		}
		if len(evidence) == 0 {
			evidence = build.Log
		}
	}
	var told teller
	for _, line := range strings.Split(strings.TrimRight(cause, "\n"), "\n") {
		text, _ := told.tell(clean(line))
		fmt.Fprintf(b, "  %s\n", text)
	}
	for _, line := range wanted {
		fmt.Fprintf(b, "  %s\n", clean(line))
	}
	for _, line := range c.Images[:min(len(c.Images), shownNames)] {
		fmt.Fprintf(b, "  %s\n", clip(clean(line)))
	}
	if more := len(c.Images) - shownNames; more > 0 {
		fmt.Fprintf(b, "  and %d more images\n", more)
	}
	for _, block := range evidence {
		for _, line := range strings.Split(strings.TrimRight(block, "\n"), "\n") {
			if text, isNew := told.tell(clean(line)); isNew {
				fmt.Fprintln(b, strings.TrimRight("  "+st.dim.Render("| "+text), " "))
			}
		}
	}
	if len(names) > 1 {
		service = nil // the advice is not about a single service
		var common *runtime.CommonError
		var images *runtime.ImagesError
		ofChart := errors.As(f.Err, &images) && images.Images[0].In != ""
		if !ofChart && errors.As(f.Err, &common) {
			f.Err = common
		}
	}
	lines := afterMissing(missing(c.Failed))
	if len(lines) == 0 {
		lines = next(f, service, namespace)
	}
	for i, line := range lines {
		label := "      "
		if i == 0 {
			label = "next: "
		}
		fmt.Fprintf(b, "  %s%s\n", label, line)
	}
}

// missing returns the Secrets whose absence made services fail, each once, sorted by
// name.
func missing(failed []runtime.ServiceRecord) []runtime.MissingSecret {
	var all []runtime.MissingSecret
	for _, f := range failed {
		var e *runtime.SecretsError
		if !errors.As(f.Err, &e) {
			continue
		}
		for _, m := range e.Missing {
			if !slices.ContainsFunc(all, func(have runtime.MissingSecret) bool { return have.Name == m.Name }) {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b runtime.MissingSecret) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// A teller omits what it has already shown: the reason why an image cannot be pulled is
// repeated by the pod, the container and each event, and is long.
type teller struct{ told []string } // the cause first

const (
	maxLine = 400 // maximum bytes of a line
	repeats = 30  // minimum bytes of a line that is worth omitting; twice as many for a part of a line
)

// tell returns the part of a line to show, and whether any of it is new.
func (t *teller) tell(line string) (text string, isNew bool) {
	bare := strings.TrimSpace(line)
	if bare == "" {
		return line, true
	}
	before := t.told
	told := func(s string) bool {
		return slices.ContainsFunc(before, func(l string) bool { return strings.Contains(l, s) })
	}
	// A repeated short line may be part of a program's output.
	if len(bare) >= repeats && told(bare) || len(before) > 0 && strings.Contains(before[0], bare) {
		return "", false
	}
	t.told = append(t.told, bare)
	// "event Failed: Failed to pull image "x": <already shown>"
	for at := 0; ; {
		i := strings.Index(line[at:], ": ")
		if i < 0 {
			return clip(line), true
		}
		at += i + len(": ")
		rest, times := cutTimes(line[at:])
		if len(rest) >= 2*repeats && told(rest) {
			return clip(line[:at]) + "…" + times, true
		}
	}
}

// cutTimes cuts the number of occurrences off a line.
func cutTimes(line string) (rest, times string) {
	if i := strings.LastIndex(line, " ("); i >= 0 && strings.HasSuffix(line, " times)") {
		return line[:i], line[i:]
	}
	return line, ""
}

// clip shortens a line, and keeps its end, which is the most informative part.
func clip(line string) string {
	if len(line) <= maxLine {
		return line
	}
	half := maxLine / 2
	return strings.ToValidUTF8(line[:half], "") + " … " + strings.ToValidUTF8(line[len(line)-half:], "")
}
