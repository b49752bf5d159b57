package ui

import (
	"fmt"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"

	"github.com/pipelinefile/pipe/runtime"
)

// A page covers the screen. Its methods are called with the board's lock held.
type page interface {
	// lines draws the page, in as many lines as the screen has.
	lines(p painter, m *watched) []string
	// key handles a key. It returns whether the page stays, and an action to run without
	// the lock, or nil.
	key(key string, m *watched) (stays bool, do func())
	// busy reports whether the page changes by itself.
	busy() bool
}

// cover draws a page: its title, as much of content as fits, starting at line top, and
// the keys. It returns the actual top.
func (p painter) cover(title string, content []string, top int, keys string) (lines []string, at int) {
	room := max(1, p.height-2)
	at = max(0, min(top, len(content)-room))
	seen := content[at:min(len(content), at+room)]
	if len(content) > room {
		title += p.styles.dim.Render(fmt.Sprintf("  %d–%d of %d", at+1, at+len(seen), len(content)))
	}
	lines = append(lines, p.fit(p.styles.bold.Render(title)))
	lines = append(lines, seen...)
	for len(lines) < p.height-1 {
		lines = append(lines, "")
	}
	return append(lines, p.fit(p.styles.dim.Render(keys)))[:max(1, p.height)], at
}

// wrap breaks lines that are longer than the screen is wide.
func (p painter) wrap(line string) []string {
	if p.width <= 0 || lipgloss.Width(line) <= p.width {
		return []string{line}
	}
	return strings.Split(lipgloss.Wrap(line, p.width, " "), "\n")
}

// scroll returns the new top of a page after a key, if the key scrolls.
func scroll(key string, top, room, all int) (to int, ok bool) {
	last := max(0, all-room)
	switch key {
	case "up", "k":
		top--
	case "down", "j":
		top++
	case "pgup", "b":
		top -= room
	case "pgdown", " ":
		top += room
	case "home", "g":
		top = 0
	case "end", "G":
		top = last
	default:
		return top, false
	}
	return max(0, min(top, last)), true
}

// pageKeys lists the keys for leaving and scrolling a page.
const pageKeys = "q back · ↑ ↓ PgUp PgDn Home End scroll"

// A pager shows a text, which may not be available yet.
type pager struct {
	title string
	waits string   // what it waits for; empty: the text is available
	text  []string // its lines
	close func()   // called when the page is left; nil: nothing to do
	top   int
	room  int // lines of the screen when it was last drawn; all: lines of the text
	all   int
}

func newPager(title, text string) *pager {
	p := &pager{title: title}
	p.set(text)
	return p
}

// set sets the text.
func (g *pager) set(text string) {
	g.waits = ""
	for line := range strings.Lines(text) {
		g.text = append(g.text, clean(line))
	}
}

func (g *pager) busy() bool { return g.waits != "" }

func (g *pager) lines(p painter, _ *watched) []string {
	if g.waits != "" {
		lines, _ := p.cover(g.title, []string{p.fit(p.spinner() + " " + g.waits)}, 0, pageKeys)
		return lines
	}
	var content []string
	for _, line := range g.text {
		content = append(content, p.wrap(line)...)
	}
	g.room, g.all = max(1, p.height-2), len(content)
	lines, top := p.cover(g.title, content, g.top, pageKeys)
	g.top = top
	return lines
}

func (g *pager) key(key string, _ *watched) (stays bool, do func()) {
	if key == "q" || key == "esc" {
		return false, g.close
	}
	g.top, _ = scroll(key, g.top, g.room, g.all)
	return true, nil
}

// A logPage shows the output of a service, or of all services, and above it why the
// service failed. It follows the output until it is scrolled back.
type logPage struct {
	of    *watchedService // nil: of all services
	still []logLine       // the lines shown while it is scrolled back; nil: it follows
	top   int
	room  int
	all   int
}

func (g *logPage) busy() bool { return false }

// printed returns the lines to show.
func (g *logPage) printed(m *watched) []logLine {
	switch {
	case g.still != nil:
		return g.still
	case g.of == nil:
		return m.log.last(keptOfAll)
	}
	var all []logLine
	for _, text := range g.of.log.last(keptOfEach) {
		all = append(all, logLine{g.of, text})
	}
	return all
}

func (g *logPage) lines(p painter, m *watched) []string {
	title := "logs of all services"
	var content []string
	if g.of != nil {
		title = "logs of " + g.of.name
		if g.of.state == runtime.Failed {
			for _, line := range g.of.failure {
				content = append(content, p.wrap(line)...)
			}
			content = append(content, "")
		}
	}
	printed := g.printed(m)
	width := 0
	for _, l := range printed {
		width = min(max(width, lipgloss.Width(l.service.name)), 24)
	}
	for _, l := range printed {
		text := l.text
		if g.of == nil {
			text = p.log(l, width)
		}
		content = append(content, p.wrap(text)...)
	}
	if len(printed) == 0 {
		content = append(content, p.styles.dim.Render("nothing has been printed yet"))
	}
	g.room, g.all = max(1, p.height-2), len(content)
	if g.still == nil {
		g.top = len(content)
	}
	lines, top := p.cover(title, content, g.top, pageKeys)
	g.top = top
	return lines
}

func (g *logPage) key(key string, m *watched) (stays bool, do func()) {
	if key == "q" || key == "esc" {
		return false, nil
	}
	top, scrolled := scroll(key, g.top, g.room, g.all)
	switch {
	case !scrolled:
	case top >= g.all-g.room:
		g.still = nil
	case g.still == nil:
		g.still = g.printed(m)
	}
	g.top = top
	return true, nil
}

// A chooser asks for one of some names. The user types its number or a part of it.
type chooser struct {
	what  string
	names []string
	typed string
	at    int // index of the selected one, among those that match
	top   int
	then  func(name string) func()
}

func (c *chooser) busy() bool { return false }

// matching returns the indices of the names that match the input.
func (c *chooser) matching() []int {
	if n, err := strconv.Atoi(c.typed); err == nil && n >= 1 && n <= len(c.names) {
		return []int{n - 1}
	}
	var all []int
	for i, name := range c.names {
		if strings.Contains(name, c.typed) {
			all = append(all, i)
		}
	}
	return all
}

func (c *chooser) lines(p painter, m *watched) []string {
	digits := len(strconv.Itoa(len(c.names)))
	var content []string
	for i, n := range c.matching() {
		line := fmt.Sprintf("  %*d  %s", digits, n+1, c.names[n])
		if s := m.names[c.names[n]]; s != nil {
			line += "  " + p.styles.dim.Render(string(s.state))
		}
		if i == c.at {
			line = p.styles.busy.Render(">") + line[1:]
		}
		content = append(content, p.fit(line))
	}
	if len(content) == 0 {
		content = []string{p.styles.dim.Render("  no name matches")}
	}
	room := max(1, p.height-2)
	c.top = min(max(c.top, c.at-room+1), c.at)
	lines, _ := p.cover(c.what+": "+c.typed+"▏", content, c.top,
		widest(p.width, "type a number or a part of the name · ↑ ↓ mark · Enter choose · Esc back", "number or name · Enter choose · Esc back", "Enter · Esc"))
	return lines
}

func (c *chooser) key(key string, _ *watched) (stays bool, do func()) {
	matching := c.matching()
	switch key {
	case "esc":
		return false, nil
	case "up":
		c.at = max(0, c.at-1)
	case "down":
		c.at = min(c.at+1, max(0, len(matching)-1))
	case "backspace":
		if r := []rune(c.typed); len(r) > 0 {
			c.typed, c.at = string(r[:len(r)-1]), 0
		}
	case "enter":
		if c.at < len(matching) {
			return false, c.then(c.names[matching[c.at]])
		}
	default:
		if len([]rune(key)) != 1 {
			return true, nil
		}
		c.typed, c.at = c.typed+key, 0
		// A digit that cannot be followed by another one is a complete answer.
		if n, err := strconv.Atoi(c.typed); err == nil && n >= 1 && n <= len(c.names) && n*10 > len(c.names) {
			return false, c.then(c.names[n-1])
		}
	}
	return true, nil
}
