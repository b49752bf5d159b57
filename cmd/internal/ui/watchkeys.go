package ui

import (
	"context"
	"fmt"

	"charm.land/lipgloss/v2"

	"github.com/pipelinefile/pipe/runtime"
)

// keysText lists the keys, in at most width columns.
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

// widest returns the first string that fits, or the last one.
func widest(width int, texts ...string) string {
	for _, text := range texts {
		if lipgloss.Width(text) <= width {
			return text
		}
	}
	return texts[len(texts)-1]
}

// help is the page of the key ?.
const help = `r   run again: also what failed and has not changed since; after the question of a branch switch, run
p   pause: collect changes without running them; press p again to resume
l   logs of a service, or of all: what their builds, deploys and pods print
o   open a port of a service, which is forwarded to this machine, in a browser
d   diff: what differs between the cluster and the files
s   restart a service: roll its pods
q   quit, like Ctrl-C: everything that is deployed keeps running
?   this help

q or Esc leaves a page. The arrow keys, Page Up, Page Down, Home and End scroll it.
Ctrl-Z suspends pipe, and fg in the shell resumes it: meanwhile, nothing is deployed.`

// press handles a key.
func (v *board) press(key string) {
	do := v.pressed(key)
	if do != nil {
		do() // without the lock: it may print a note
	}
}

// pressed handles a key, and returns an action to run without the lock, or nil.
func (v *board) pressed(key string) (do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.changed()
	if key == "ctrl+c" {
		return v.keys.Interrupt
	}
	if page := v.page; page != nil {
		stays, do := page.key(key, v.model)
		if !stays && v.page == page { // and it was not replaced by another page
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

// allServices is the choice for the logs of all services.
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

// choose asks for one of names. It calls then with the answer, with v.mu held.
func (v *board) choose(what string, names []string, then func(name string) func()) {
	if len(names) == 0 {
		v.model.note(v.now(), what+": no services yet")
		return
	}
	v.page = &chooser{what: what, names: names, then: then}
}

// showLogs shows the output of builds, deploys and pods of a service.
func (v *board) showLogs(name string) func() {
	if name == allServices {
		v.page = &logPage{}
		return nil
	}
	v.page = &logPage{of: v.model.names[name]}
	return nil
}

// open opens a port of a service in the browser, and asks for one if there are several.
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

// diff shows the differences between the cluster and the files, once they are known.
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
