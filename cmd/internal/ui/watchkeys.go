package ui

import (
	"context"
	"fmt"

	"charm.land/lipgloss/v2"

	"github.com/pipelinefile/pipe/runtime"
)

// keysText says which keys there are, in at most width columns.
func keysText(m *watched, width int) string {
	pause, run := "pause", "run again"
	switch m.at.State {
	case runtime.Paused:
		pause = "resume"
	case runtime.Held:
		run = "run them"
	}
	return widest(width,
		"r "+run+" · p "+pause+" · l logs · o open · d diff · s restart · q quit · ? help",
		"r run  p "+pause+"  l logs  o open  d diff  s restart  q quit  ? help",
		"r p l o d s  q quit  ? help",
		"? help")
}

// widest returns the first text that fits, or else the last one.
func widest(width int, texts ...string) string {
	for _, text := range texts {
		if lipgloss.Width(text) <= width {
			return text
		}
	}
	return texts[len(texts)-1]
}

// help is what the key ? shows.
const help = `r   run again: also what failed and has not changed since; after the question of a branch switch, run
p   pause: gather changes and run nothing; once more, resume
l   logs of a service, or of all: what their builds, deploys and pods print
o   open a port of a service, which is forwarded to this machine, in a browser
d   diff: what differs between the cluster and the files
s   restart a service: roll its pods
q   quit, as Ctrl-C does: everything that is deployed stays
?   this help

A page is left with q or Esc, and scrolled with the arrow keys, Page Up, Page Down, Home and End.
Ctrl-Z suspends pipe, and the shell's fg brings it back: meanwhile nothing is deployed.`

// press does what a key is for.
func (v *board) press(key string) {
	do := v.pressed(key)
	if do != nil {
		do() // without the lock: it may say something
	}
}

// pressed returns what is to be done outside, for a key; nil: nothing.
func (v *board) pressed(key string) (do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.changed()
	if key == "ctrl+c" {
		return v.keys.Interrupt
	}
	if page := v.page; page != nil {
		stays, do := page.key(key, v.model)
		if !stays && v.page == page { // and no other has taken its place
			v.page = nil
		}
		return do
	}
	switch key {
	case "r":
		v.paused = false
		return v.keys.Again
	case "p":
		v.paused = !v.paused
		if v.paused {
			return v.keys.Pause
		}
		return v.keys.Resume
	case "l":
		v.choose("logs of", append([]string{allServices}, v.names()...), func(name string) func() { return v.showLogs(name) })
	case "s":
		v.choose("restart", v.names(), func(name string) func() { return func() { v.keys.Restart(name) } })
	case "o":
		return v.open()
	case "d":
		return v.diff()
	case "q":
		return v.keys.Quit
	case "?":
		v.page = newPager("keys", help)
	}
	return nil
}

// allServices is what is chosen to see the logs of all services.
const allServices = "all services"

// names returns the names of the services, in the order of the plan.
func (v *board) names() []string {
	var names []string
	for _, s := range v.model.services {
		if s.removed == nil {
			names = append(names, s.name)
		}
	}
	return names
}

// choose asks which of names is meant. The answer is given to then, with v.mu held.
func (v *board) choose(what string, names []string, then func(name string) func()) {
	if len(names) == 0 {
		v.model.note(v.now(), what+": no services yet")
		return
	}
	v.page = &chooser{what: what, names: names, then: then}
}

// showLogs shows what builds, deploys and pods of a service have printed.
func (v *board) showLogs(name string) func() {
	if name == allServices {
		v.page = &logPage{}
		return nil
	}
	v.page = &logPage{of: v.model.names[name]}
	return nil
}

// open opens a port of a service, and asks which one if there are several.
func (v *board) open() func() {
	all := v.model.addresses()
	switch len(all) {
	case 0:
		v.model.note(v.now(), "no port of a service is forwarded to this machine; forward them with --forward")
		return nil
	case 1:
		return func() { v.keys.Open(all[0].url) }
	}
	var names []string
	urls := make(map[string]string)
	for _, a := range all {
		name := fmt.Sprintf("%s %s", a.service, a.url)
		names, urls[name] = append(names, name), a.url
	}
	v.choose("open", names, func(name string) func() { return func() { v.keys.Open(urls[name]) } })
	return nil
}

// diff shows what differs between the cluster and the files, once that is known.
func (v *board) diff() func() {
	ctx, cancel := context.WithCancel(context.Background())
	page := &pager{title: "diff", waits: "comparing with the cluster", close: cancel}
	v.page = page
	return func() {
		go func() {
			text, err := v.keys.Diff(ctx)
			v.mu.Lock()
			defer v.mu.Unlock()
			if err != nil {
				text = "error: " + err.Error()
			}
			page.set(text)
			v.changed()
		}()
	}
}
