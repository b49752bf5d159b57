package ui

import (
	"fmt"
	"strings"

	"github.com/pipelinefile/pipe/runtime"
)

// watch writes the line for an event of watch mode.
func (v *plain) watch(e runtime.Event) {
	switch b := e.Body.(type) {
	case runtime.FilesChanged:
		v.line(e.Time, "", changedText(b))
	case runtime.WatchChanged:
		if text := watchText(b, v.model.namespace != ""); text != "" {
			v.line(e.Time, "", text)
		}
	case runtime.ServiceRemoved:
		v.line(e.Time, e.Service, removedText)
	case runtime.Forwarding:
		if text := forwardText(b); text != "" {
			v.once(e, text)
		}
	}
}

// forwardText says where a port is reached; empty for what needs no line of its own.
func forwardText(b runtime.Forwarding) string {
	switch b.State {
	case "listening":
		return "port " + fmt.Sprint(b.Port) + " is forwarded: " + b.URL
	case "failed":
		return fmt.Sprintf("port %d cannot be reached: %s", b.Port, b.Reason)
	}
	return ""
}

// removedText is said of a service that the plan does not have any more.
const removedText = "the plan does not have it any more; its release stays until a run with --prune"

// changedText says which files have changed.
func changedText(b runtime.FilesChanged) string {
	const shown = 3
	paths := b.Paths
	more := b.More
	if n := len(paths); n > shown {
		paths, more = paths[:shown], more+n-shown
	}
	text := "changed: " + strings.Join(paths, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if b.Head {
		text += " (HEAD has moved)"
	}
	return clean(text)
}

// watchText says what watch mode is at; empty for what needs no line of its own.
// Ran says that there was a run already.
func watchText(b runtime.WatchChanged, ran bool) string {
	switch b.State {
	case runtime.Settled:
		switch {
		case len(b.Services) > 0:
			return "watching; failed: " + strings.Join(b.Services, ", ")
		case b.Reason != "":
			return "watching; " + b.Reason
		}
		return "watching: everything is deployed"
	case runtime.Wrong:
		if ran {
			return b.Reason + "\nwatching: the last good plan stays in charge"
		}
		return b.Reason + "\nwatching: nothing is deployed before the file is right"
	case runtime.Held:
		return "holding: " + b.Reason + ": " + strings.Join(b.Services, ", ")
	case runtime.Paused:
		return "paused: changes are gathered, and nothing runs"
	}
	return ""
}
