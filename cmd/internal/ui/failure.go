package ui

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Failures writes what went wrong in a run of p, the first cause first: for
// each service where it is declared, the cause, what shows it, and what to do
// next. It is the one place that words this.
func Failures(w io.Writer, p *plan.Plan, namespace string, failed []runtime.ServiceRecord, color bool) error {
	st := newStyles(color)
	failed = slices.Clone(failed)
	slices.SortStableFunc(failed, func(a, b runtime.ServiceRecord) int { return ended(a, b) })
	var b strings.Builder
	for i, f := range failed {
		if i > 0 {
			b.WriteString("\n")
		}
		failure(&b, st, p, namespace, f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ended orders by the time of the end; a service whose end is not known comes last.
func ended(a, b runtime.ServiceRecord) int {
	if a.End.IsZero() != b.End.IsZero() {
		if a.End.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.End.UnixNano(), b.End.UnixNano())
}

func failure(b *strings.Builder, st styles, p *plan.Plan, namespace string, f runtime.ServiceRecord) {
	head := st.bad.Render("error:") + " " + st.bold.Render(f.Service)
	var service *plan.Service
	if p != nil {
		service = p.Service(f.Service)
	}
	if service != nil && !service.Pos.IsZero() {
		head += fmt.Sprintf(" (%s)", service.Pos)
	}
	fmt.Fprintf(b, "%s in stage %s\n", head, f.Stage)
	cause, evidence := f.Error, f.Evidence
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
	for _, block := range evidence {
		for _, line := range strings.Split(strings.TrimRight(block, "\n"), "\n") {
			if text, isNew := told.tell(clean(line)); isNew {
				fmt.Fprintln(b, strings.TrimRight("  "+st.dim.Render("| "+text), " "))
			}
		}
	}
	for i, line := range next(f, service, namespace) {
		label := "      "
		if i == 0 {
			label = "next: "
		}
		fmt.Fprintf(b, "  %s%s\n", label, line)
	}
}

// A teller leaves out what it has told: why an image cannot be pulled comes with
// the pod, the container and each event, and is long.
type teller struct{ told []string } // the cause first

const (
	longest = 400 // bytes of a line
	repeats = 30  // bytes of a line that are worth leaving out; of a part of one twice as many
)

// tell returns what is to be shown of a line, and whether any of it is new.
func (t *teller) tell(line string) (text string, isNew bool) {
	bare := strings.TrimSpace(line)
	if bare == "" {
		return line, true
	}
	before := t.told
	told := func(s string) bool {
		return slices.ContainsFunc(before, func(l string) bool { return strings.Contains(l, s) })
	}
	// A short line that comes again may be one of a program's output.
	if len(bare) >= repeats && told(bare) || len(before) > 0 && strings.Contains(before[0], bare) {
		return "", false
	}
	t.told = append(t.told, bare)
	// "event Failed: Failed to pull image "x": <what has been told>"
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

// cutTimes cuts how often something happened off a line.
func cutTimes(line string) (rest, times string) {
	if i := strings.LastIndex(line, " ("); i >= 0 && strings.HasSuffix(line, " times)") {
		return line[:i], line[i:]
	}
	return line, ""
}

// clip shortens a line, and keeps its end, which says most.
func clip(line string) string {
	if len(line) <= longest {
		return line
	}
	half := longest / 2
	return strings.ToValidUTF8(line[:half], "") + " … " + strings.ToValidUTF8(line[len(line)-half:], "")
}

// next says what to do about a failure.
func next(f runtime.ServiceRecord, service *plan.Service, namespace string) []string {
	var (
		build   *runtime.BuildError
		release *runtime.ReleaseError
	)
	switch text := strings.ToLower(f.Error); {
	case strings.Contains(text, "no space left"), strings.Contains(text, "is full"):
		return []string{"make room on the disk and run again; what was built and deployed so far is kept"}
	case errors.As(f.Err, &build):
		where := "the Dockerfile or what it copies"
		if !build.Pos.IsZero() {
			where = build.Pos.String() + " or what it copies"
		}
		return []string{"correct " + where + " and run again; nothing of this stage was deployed"}
	case errors.As(f.Err, &release):
		return afterRelease(f, release, service, namespace)
	case errors.Is(f.Err, runtime.ErrNotFound) && service != nil && service.Image.Mirror != "":
		return []string{fmt.Sprintf("check the name and the tag of image=%q; if it is private, log in with \"docker login %s\"",
			service.Image.Mirror, registryOf(service.Image.Mirror))}
	case strings.HasPrefix(f.Error, "render ") && service != nil && service.Chart != nil:
		return []string{fmt.Sprintf("correct chart %s, which %s names, or values= of the service, and run again; nothing was deployed",
			service.Chart.Ref, service.Chart.Pos)}
	case strings.Contains(text, "cannot be reached"), strings.Contains(text, "does not answer"):
		return []string{"run again when it can be reached; what was built and deployed so far is kept"}
	case errors.Is(f.Err, runtime.ErrTimeout):
		return []string{"give it more time with timeout= of the service or --timeout, or look at what it waits for"}
	}
	return nil
}

// afterRelease says what to do about a release that did not become ready.
func afterRelease(f runtime.ServiceRecord, e *runtime.ReleaseError, service *plan.Service, namespace string) []string {
	var lines []string
	shown := f.Error + "\n" + strings.Join(f.Evidence, "\n") + strings.Join(e.Evidence, "\n")
	contains := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(shown, w) })
	}
	pods := fmt.Sprintf("kubectl -n %s describe pods -l app.kubernetes.io/instance=%s", namespace, e.Release)
	switch {
	case contains("ImagePullBackOff", "ErrImagePull", "InvalidImageName"):
		lines = append(lines, "check that the image exists and that the nodes of the cluster may pull it")
	case contains("OOMKilled"):
		lines = append(lines, "give it more memory: resources(memory_limit=…)")
	case contains("CrashLoopBackOff", "exit code", "exited with"):
		lines = append(lines, "its last lines above tell why it ended; all of them: "+
			fmt.Sprintf("kubectl -n %s logs -l app.kubernetes.io/instance=%s --previous", namespace, e.Release))
	case contains("Unschedulable", "nodes are available"):
		lines = append(lines, "the cluster has no node for it: ask for less with resources=, or add nodes")
	case errors.Is(f.Err, runtime.ErrTimeout) && service != nil && service.Workload.Health != nil:
		lines = append(lines, "check health= against what the service answers, or give it more than timeout="+
			duration(time.Duration(service.Timeout)))
	case errors.Is(f.Err, runtime.ErrTimeout) && service != nil:
		lines = append(lines, "look at it with "+pods, "or give it more than timeout="+duration(time.Duration(service.Timeout)))
	default:
		lines = append(lines, "look at it with "+pods)
	}
	if e.RolledBack > 0 {
		lines = append(lines, fmt.Sprintf("revision %d runs again; --on-failure keep leaves the failed one for a look", e.RolledBack))
	}
	return lines
}

// registryOf is the host of an image's reference, as "docker login" takes it.
func registryOf(image string) string {
	host, _, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return "docker.io"
	}
	return host
}
