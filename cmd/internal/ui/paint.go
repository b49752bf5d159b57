package ui

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/pipelinefile/pipe/runtime"
)

// styles are the colours of the live view; without colour all styles are equal. The
// sixteen basic colours are enough, and follow the user's theme.
type styles struct {
	good, bad, warn, dim, bold, busy lipgloss.Style
	services                         []lipgloss.Style // for the output of services: each service has one
}

func newStyles(color bool) styles {
	plain := lipgloss.NewStyle()
	if !color {
		return styles{plain, plain, plain, plain, plain, plain, []lipgloss.Style{plain}}
	}
	return styles{
		good: plain.Foreground(lipgloss.Green),
		bad:  plain.Foreground(lipgloss.Red),
		warn: plain.Foreground(lipgloss.Yellow),
		dim:  plain.Faint(true),
		bold: plain.Bold(true),
		busy: plain.Foreground(lipgloss.Cyan),
		services: []lipgloss.Style{
			plain.Foreground(lipgloss.Cyan), plain.Foreground(lipgloss.Magenta), plain.Foreground(lipgloss.Blue),
			plain.Foreground(lipgloss.Yellow), plain.Foreground(lipgloss.Green),
		},
	}
}

// A painter draws a model on a screen of a given size.
type painter struct {
	styles        styles
	now           time.Time
	frame         int
	width, height int
}

// live returns the lines of the view during a run. They fit the screen: stages that have
// ended or not begun are collapsed to a count first, so that five hundred services stay
// readable.
func (p painter) live(m *model) []string {
	if len(m.stages) == 0 {
		if m.doing == "" || p.now.Sub(m.since) < moment {
			return nil
		}
		return []string{p.fit(fmt.Sprintf("%s %s %s", p.spinner(), m.doing, p.styles.dim.Render(seconds(p.now.Sub(m.since)))))}
	}
	over, all := m.counts()
	head := fmt.Sprintf("%s %s %s", p.styles.bold.Render(string(m.action)+" "+m.namespace),
		fmt.Sprintf("%d of %s", over, count(all, "service")), p.styles.dim.Render(clock(p.now.Sub(m.start))))
	room := max(3, p.height-1) - 1
	return append([]string{p.fit(head)}, p.stages(m, room)...)
}

// final returns the lines that remain when the view ends. Empty stages take no time (S5),
// and are omitted.
func (p painter) final(m *model) []string {
	var lines []string
	for _, s := range m.stages {
		switch {
		case len(s.services) == 0:
			continue
		case s.started.IsZero():
			lines = append(lines, p.fit(fmt.Sprintf("%s %s  %s", p.styles.dim.Render("·"), s.name, outcome(s))))
			continue
		}
		lines = append(lines, p.stage(s))
	}
	return lines
}

// stages draws the stages in at most room lines.
func (p painter) stages(m *model, room int) []string {
	var before, now, after []string // stages that have ended, are running, have not begun
	var busy []*stage
	for _, s := range m.stages {
		switch {
		case len(s.services) == 0:
		case !s.ended.IsZero() && !s.failed:
			before = append(before, p.stage(s))
		case s.started.IsZero() && !working(s):
			after = append(after, p.stage(s))
		default:
			busy = append(busy, s)
		}
	}
	before = p.shrink(before, room/4, p.styles.good.Render("✔"), "done")
	after = p.shrink(after, room/4, p.styles.dim.Render("·"), "to come")
	left := room - len(before) - len(after)
	for i, s := range busy {
		now = append(now, p.busy(s, max(2, left/(len(busy)-i)))...)
		left = room - len(before) - len(after) - len(now)
	}
	lines := append(append(before, now...), after...)
	return lines[:min(len(lines), room)]
}

// shrink collapses many stages into one line if they do not fit.
func (p painter) shrink(lines []string, room int, icon, what string) []string {
	if len(lines) <= max(room, 1) {
		return lines
	}
	return []string{p.fit(fmt.Sprintf("%s %d stages %s", icon, len(lines), what))}
}

func working(s *stage) bool {
	for _, v := range s.services {
		if v.active() {
			return true
		}
	}
	return false
}

// stage draws one stage as one line.
func (p painter) stage(s *stage) string {
	over, all := s.counts()
	icon, name := p.spinner(), p.styles.bold.Render(s.name)
	what := fmt.Sprintf("%d of %s", over, count(all, "service"))
	took := ""
	switch {
	case s.failed:
		icon = p.styles.bad.Render("✘")
		if !s.ended.IsZero() {
			what = outcome(s)
		}
	case !s.ended.IsZero():
		icon, what = p.styles.good.Render("✔"), outcome(s)
	case s.started.IsZero() && !working(s):
		icon, name, what = p.styles.dim.Render("·"), s.name, count(all, "service")
	}
	switch {
	case s.started.IsZero():
	case s.ended.IsZero():
		took = seconds(p.now.Sub(s.started))
	default:
		took = seconds(s.ended.Sub(s.started))
	}
	return p.fit(strings.TrimRight(fmt.Sprintf("%s %s  %s  %s", icon, name, what, p.styles.dim.Render(took)), " "))
}

// outcome counts the services of a stage by their final state.
func outcome(s *stage) string {
	return tally(s.services, runtime.Waiting, runtime.Done, runtime.Unchanged, runtime.Failed, runtime.Cancelled, runtime.Skipped)
}

// tally counts services by state: "3 done, 1 failed".
func tally(services []*service, states ...runtime.State) string {
	var parts []string
	for _, state := range states {
		n := 0
		for _, v := range services {
			if v.state == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

// busy draws a running stage with its services, in at most room lines: first failed
// services, with the end of their output, then active ones.
func (p painter) busy(s *stage, room int) []string {
	lines := []string{p.stage(s)}
	var failed, active, rest []*service
	width := 0
	for _, v := range s.services {
		switch {
		case v.state == runtime.Failed:
			failed = append(failed, v)
		case v.active():
			active = append(active, v)
		default:
			rest = append(rest, v)
			continue
		}
		width = min(max(width, len(v.name)), 24)
	}
	last := tally(rest, runtime.Waiting, runtime.Built, runtime.Done, runtime.Unchanged, runtime.Cancelled, runtime.Skipped)
	room-- // for the stage
	if last != "" {
		room--
	}
	shown := 0
	room -= len(active) // active services take precedence over the output of failed ones
	for _, v := range failed {
		if room < 1 {
			break
		}
		lines = append(lines, p.service(v, width))
		room--
		shown++
		tail := v.tail.last(min(3, max(0, room)))
		for _, t := range tail {
			lines = append(lines, p.fit("      "+p.styles.dim.Render(clean(t))))
		}
		room -= len(tail)
	}
	room += len(active)
	for _, v := range active {
		if room < 1 {
			break
		}
		lines = append(lines, p.service(v, width))
		room--
		shown++
	}
	if hidden := len(failed) + len(active) - shown; hidden > 0 {
		last = strings.TrimLeft(fmt.Sprintf("%s, %d more at work or failed", last, hidden), ", ")
	}
	if last != "" {
		lines = append(lines, p.fit("    "+p.styles.dim.Render(last)))
	}
	return lines
}

// service draws one service as one line.
func (p painter) service(v *service, width int) string {
	icon, state, text := p.spinner(), string(v.state), clean(v.step.text)
	took := p.now.Sub(v.since)
	if v.state == runtime.Failed {
		icon, state, text = p.styles.bad.Render("✘"), p.styles.bad.Render(state), clean(v.reason)
		if took = 0; !v.began.IsZero() {
			took = v.since.Sub(v.began)
		}
	} else if text == "" {
		text = clean(v.reason)
	}
	pad := strings.Repeat(" ", max(0, len(runtime.Restarting)-len(v.state)))
	return p.fit(strings.TrimRight(fmt.Sprintf("    %s %-*s  %s%s  %s  %s", icon, width, v.name, state, pad,
		p.styles.dim.Render(fmt.Sprintf("%6s", seconds(took))), text), " "))
}

// spinner returns the current frame of the spinner.
func (p painter) spinner() string {
	const pictures = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
	r := []rune(pictures)
	return p.styles.busy.Render(string(r[p.frame%len(r)]))
}

// fit truncates a line to the width of the screen, after making it harmless.
func (p painter) fit(line string) string {
	line = harmless(line)
	if p.width <= 0 {
		return line
	}
	return lipgloss.NewStyle().Inline(true).MaxWidth(p.width).Render(line)
}
