package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/pipelinefile/pipe/runtime"
)

// watch returns the lines of watch mode: at most as many as the screen has. The last one
// lists the keys.
//
// From top to bottom: the state of watch mode; what has changed; the errors in the file,
// or a question; the services; messages; and the output of services, which gets the
// remaining room.
func (p painter) watch(m *watched, keys string) []string {
	room := max(2, p.height) - 1 // without the keys
	lines := []string{p.fit(p.head(m))}
	if text := p.changed(m); text != "" && room > 3 {
		lines = append(lines, p.fit(text))
	}
	room -= len(lines)
	detail := p.detail(m)
	if most := max(1, room/2); len(detail) > most {
		detail = append(detail[:most-1], p.fit(p.styles.dim.Render(fmt.Sprintf("  … %d more lines", len(detail)-most+1))))
	}
	detail = detail[:min(len(detail), room)]
	lines, room = append(lines, detail...), room-len(detail)

	notes := p.notes(m, min(3, room/4))
	logs := min(m.log.count(), (room-len(notes))/3)
	services := p.watchServices(m, room-len(notes)-logs)
	room -= len(services) + len(notes)
	for _, block := range [][]string{services, notes, p.logs(m.log.last(room))} {
		if len(block) > 0 && room > m.log.count()+2 { // there is room for blank lines
			lines = append(lines, "")
		}
		lines = append(lines, block...)
	}
	for len(lines) < p.height-1 {
		lines = append(lines, "")
	}
	return append(lines, p.fit(keys))[:max(1, p.height)]
}

// left returns the lines that remain in the scrollback when watch mode ends: the number
// of services in each state, and why services failed.
func (p painter) left(m *watched) []string {
	var lines []string
	if m.at.State == runtime.Wrong {
		for line := range strings.Lines(m.at.Reason) {
			lines = append(lines, clean(line))
		}
	}
	if len(m.services) == 0 { // there are no services yet
		for _, n := range m.notes.last(tailSize) {
			lines = append(lines, n.text)
		}
		return lines
	}
	all := make([]*service, len(m.services))
	var failed []runtime.ServiceRecord
	for i, s := range m.services {
		all[i] = &s.service
		if s.state == runtime.Failed && len(s.failure) > 0 {
			failed = append(failed, s.record)
		}
	}
	lines = append(lines, failureLines(m.plan, m.namespace, failed)...)
	return append(lines, fmt.Sprintf("%s: %s: %s", m.namespace, count(len(all), "service"), tally(all, states...)))
}

// head describes the state of watch mode.
func (p painter) head(m *watched) string {
	text, icon := atText(m.at, m.deploys > 0), p.spinner()
	switch m.at.State {
	case runtime.Settled:
		icon = p.styles.good.Render("✔")
		if len(m.at.Services) > 0 || m.at.Reason != "" {
			icon = p.styles.bad.Render("✘")
		} else if len(m.at.LeftAlone) > 0 {
			icon = p.styles.warn.Render("✔")
		}
	case runtime.Wrong:
		icon = p.styles.bad.Render("✘")
	case runtime.Held:
		icon = p.styles.warn.Render("?")
	case runtime.Paused:
		icon = p.styles.warn.Render("‖")
	}
	since := m.since.Format(time.TimeOnly)
	switch {
	case m.doing != "":
		icon, text, since = p.spinner(), clean(m.doing), seconds(p.now.Sub(m.since))
	case m.busy():
		since = seconds(p.now.Sub(m.since))
	}
	name := p.styles.bold.Render(m.namespace)
	if m.namespace != "" {
		name += "  "
	}
	return fmt.Sprintf("%s%s %s  %s", name, icon, text, p.styles.dim.Render(since))
}

// changed lists the files that changed last.
func (p painter) changed(m *watched) string {
	if m.when.IsZero() {
		return ""
	}
	return p.styles.dim.Render(changedText(m.changed) + "  " + m.when.Format(time.TimeOnly))
}

// detail shows what is wrong with the file, or what would be deployed.
func (p painter) detail(m *watched) []string {
	var lines []string
	switch m.at.State {
	case runtime.Wrong:
		for line := range strings.Lines(m.at.Reason) {
			lines = append(lines, p.fit("  "+clip(clean(line))))
		}
	case runtime.Held:
		lines = append(lines, p.fit("  "+clean(strings.Join(m.at.Services, ", "))))
	}
	return lines
}

// watchServices draws the services in at most room lines. If they do not all fit, it
// draws those that failed, are busy, or changed lately, and counts the rest.
func (p painter) watchServices(m *watched, room int) []string {
	shown := m.services
	var last string
	if len(shown) > room {
		shown, last = p.foremost(m.services, room-1)
	}
	width, spare := 0, room-len(shown)
	for _, s := range shown {
		width = min(max(width, lipgloss.Width(s.name)), 24)
	}
	if last != "" {
		spare--
	}
	var lines []string
	for _, s := range shown {
		line := p.watchService(s, width, s.told())
		cut := s.state == runtime.Failed && lipgloss.Width(line) > p.width && spare > 0
		if cut {
			line = p.watchService(s, width, s.where.String())
		}
		lines = append(lines, p.fit(line))
		for _, text := range p.explained(s, cut, min(spare, 6)) {
			lines = append(lines, p.fit("      "+p.styles.dim.Render(text)))
			spare--
		}
	}
	if last != "" {
		lines = append(lines, p.fit("  "+p.styles.dim.Render(last)))
	}
	return lines[:min(len(lines), max(0, room))]
}

// explained returns the first n lines of why s failed. They include the cause if the line
// of s has no room for it.
func (p painter) explained(s *watchedService, cut bool, n int) []string {
	if s.state != runtime.Failed || s.removed != nil {
		return nil
	}
	var lines []string
	if cut {
		p.width -= len("      ")
		lines = p.wrap(s.cause)
	}
	if len(s.failure) > 2 { // its head and the cause
		for _, line := range s.failure[2:] {
			lines = append(lines, strings.TrimPrefix(line, "  "))
		}
	}
	return lines[:min(len(lines), max(0, n))]
}

// told returns the cause of a failure, with its position.
func (s *watchedService) told() string {
	if s.where.IsZero() {
		return s.cause
	}
	return s.where.String() + ": " + s.cause
}

// foremost returns the n services that matter most, in their order, and a summary of the
// others.
func (p painter) foremost(services []*watchedService, n int) (shown []*watchedService, rest string) {
	byRank := slices.Clone(services)
	slices.SortStableFunc(byRank, func(a, b *watchedService) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), b.since.Compare(a.since))
	})
	n = max(0, n)
	in := make(map[*watchedService]bool, n)
	for _, s := range byRank[:n] {
		in[s] = true
	}
	for _, s := range services {
		if in[s] {
			shown = append(shown, s)
		}
	}
	others := make([]*service, 0, len(services)-n)
	for _, s := range byRank[n:] {
		others = append(others, &s.service)
	}
	return shown, fmt.Sprintf("and %d more: %s", len(others), tally(others, states...))
}

// states are all states, in order of importance.
var states = []runtime.State{
	runtime.Failed, runtime.Building, runtime.Built, runtime.Deploying, runtime.Restarting, runtime.Stopping, runtime.Starting, runtime.Deleting,
	runtime.Waiting, runtime.Done, runtime.Unchanged, runtime.Cancelled, runtime.Skipped,
}

// rank returns the importance of a service when there is no room for all.
func (s *watchedService) rank() int {
	switch {
	case s.state == runtime.Failed:
		return 0
	case s.active(), s.stale, s.removed != nil:
		return 1
	case len(s.ports) > 0:
		return 2
	case s.state == runtime.Done, s.state == runtime.Cancelled, s.synced != "":
		return 3
	}
	return 4
}

// watchService draws one service as one line, which may be too long. failure is the text
// for one that failed.
func (p painter) watchService(s *watchedService, width int, failure string) string {
	icon, state, text := p.styles.dim.Render("·"), string(s.state), ""
	at := ""
	if !s.since.IsZero() {
		at = s.since.Format(time.TimeOnly)
	}
	switch {
	case s.removed != nil:
		state, text = "removed", removedText(*s.removed)
	case s.stale:
		icon, state, text = p.styles.warn.Render("~"), "stale", "it has changed again"
	case s.state == runtime.Failed:
		icon, text = p.styles.bad.Render("✘"), failure
	case s.active():
		icon, at = p.spinner(), fmt.Sprintf("%8s", seconds(p.now.Sub(s.since)))
		text = clean(cmp.Or(s.step.text, s.reason))
	case s.state == runtime.Done:
		icon = p.styles.good.Render("✔")
	case s.state == runtime.Unchanged:
		icon, at = p.styles.good.Render("✔"), ""
	default:
		text = clean(s.reason)
	}
	for _, f := range s.ports {
		text = joined(text, p.port(f))
	}
	text = joined(text, s.synced)
	mark := func(state string) string { return state }
	if s.state == runtime.Failed && s.removed == nil {
		mark = func(state string) string { return p.styles.bad.Render(state) }
	}
	if p.width < 60 { // its state matters more than the time
		at = ""
	} else {
		at = p.styles.dim.Render(fmt.Sprintf("%8s", at)) + "  "
	}
	return strings.TrimRight(fmt.Sprintf("%s %s%s  %s  %s%s", icon,
		s.name, pad(s.name, width), mark(state)+pad(state, len(runtime.Restarting)), at, text), " ")
}

// port draws the address of a port of a service.
func (p painter) port(f runtime.Forwarding) string {
	text := f.URL
	if text == "" {
		text = fmt.Sprintf("port %d", f.Port)
	}
	if f.State == "waiting" || f.State == "failed" {
		return text + p.styles.warn.Render(strings.TrimRight(" "+f.State+": "+clean(f.Reason), ": "))
	}
	return p.styles.busy.Render(text)
}

// joined joins two texts about a service.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "  " + b
}

// pad returns the blanks that pad text to width.
func pad(text string, width int) string {
	return strings.Repeat(" ", max(0, width-lipgloss.Width(text)))
}

// notes draws the last messages in at most room lines.
func (p painter) notes(m *watched, room int) []string {
	var lines []string
	for _, n := range m.notes.last(max(0, room)) {
		for i, line := range strings.Split(n.text, "\n") {
			at := n.at.Format(time.TimeOnly)
			if i > 0 {
				at = strings.Repeat(" ", len(at))
			}
			lines = append(lines, p.fit(p.styles.dim.Render(at+"  ")+line))
		}
	}
	return lines[max(0, len(lines)-max(0, room)):]
}

// logs draws the output of services.
func (p painter) logs(printed []logLine) []string {
	width := 0
	for _, l := range printed {
		width = min(max(width, lipgloss.Width(l.service.name)), 24)
	}
	var lines []string
	for _, l := range printed {
		lines = append(lines, p.fit(p.log(l, width)))
	}
	return lines
}

// log draws a line of output of a service, in its colour.
func (p painter) log(l logLine, width int) string {
	color := p.styles.services[l.service.color%len(p.styles.services)]
	return color.Render(l.service.name+pad(l.service.name, width)+" |") + " " + l.text
}
