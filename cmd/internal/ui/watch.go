package ui

import (
	"fmt"
	"strings"

	"github.com/pipelinefile/pipe/runtime"
)

// watch writes the lines for an event of watch mode.
func (v *plain) watch(e runtime.Event) {
	switch b := e.Body.(type) {
	case runtime.FilesChanged:
		v.line(e.Time, "", changedText(b))
	case runtime.WatchChanged:
		v.watchAt(e, b)
	case runtime.ServiceRemoved:
		v.line(e.Time, e.Service, removedText(b))
	case runtime.Forwarding:
		if text := forwardText(b); text != "" {
			v.once(e, text)
		}
	case runtime.PodLog:
		v.line(e.Time, e.Service, podName(e.Service, b)+" | "+clean(b.Text))
	case runtime.Synced:
		v.line(e.Time, e.Service, syncedText(b))
	case runtime.RunEnded:
		v.failures(e, b.Record)
		if b.Record != nil {
			for _, name := range b.Record.Pruned {
				v.line(e.Time, name, prunedText)
			}
			for _, place := range b.Record.Moved {
				v.line(e.Time, place.Name, movedText(place))
			}
		}
	}
}

// outside reports whether an event has no news about the state of a service, which is
// before. The event is of an older run than the one that counts, or the run ended before
// it began with the service, or the previous run has reported it as done.
func outside(e runtime.Event, before service) bool {
	b, ok := e.Body.(runtime.StateChanged)
	switch {
	case !ok:
		return false
	case e.Run < before.number:
		return true
	case e.Run == before.number:
		return false
	}
	return b.State == runtime.Cancelled || b.State == runtime.Done && before.state == runtime.Done
}

// watchAt writes the state of watch mode, if it needs a separate line: runs and
// evaluations are visible by their events.
func (v *plain) watchAt(e runtime.Event, b runtime.WatchChanged) {
	text := atText(b, v.model.namespace != "")
	switch b.State {
	case runtime.Evaluating, runtime.Running:
		return
	case runtime.Wrong:
		text = b.Reason + "\n" + text
	case runtime.Held:
		text += ": " + strings.Join(b.Services, ", ")
	}
	v.line(e.Time, "", text)
}

// failures writes why services failed in a run of watch mode. It does not repeat a
// failure of an earlier run that has not changed.
func (v *plain) failures(e runtime.Event, record *runtime.RunRecord) {
	if record == nil {
		return
	}
	var failed []runtime.ServiceRecord
	for _, s := range record.Services {
		switch {
		case s.State == runtime.Done || s.State == runtime.Unchanged:
			delete(v.failed, s.Service)
		case s.State == runtime.Failed && v.failed[s.Service] != s.Error:
			v.failed[s.Service] = s.Error
			failed = append(failed, s)
		}
	}
	if len(failed) == 0 {
		return
	}
	var b strings.Builder
	if err := Failures(&b, record.Plan, v.model.namespace, failed, v.color); err == nil {
		v.line(e.Time, "", strings.TrimRight(b.String(), "\n"))
	}
}

// forwardText returns the address at which a port is reached, or "" for a state that
// needs no line: waiting while pods are replaced.
func forwardText(b runtime.Forwarding) string {
	switch b.State {
	case "listening":
		return fmt.Sprintf("port %d is forwarded: %s", b.Port, b.URL)
	case "failed":
		return fmt.Sprintf("port %d cannot be reached: %s", b.Port, clean(b.Reason))
	}
	return ""
}

// removedText is the message for a service that was removed from the file.
func removedText(b runtime.ServiceRemoved) string {
	if b.Prune {
		return "removed from the Pipelinefile; its release is going to be deleted"
	}
	return "removed from the Pipelinefile; its release stays until a run with --prune"
}

// movedText is the message for a service whose release in its former namespace was deleted.
func movedText(former runtime.Place) string {
	return "release in namespace " + former.Namespace + " deleted"
}

// prunedText is the message for a service whose release was deleted after its removal.
const prunedText = "release deleted: the service is not in the Pipelinefile"

// changedText lists the files that have changed.
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

// atText describes the state of watch mode in one line. deployed reports whether there
// was a deploy already.
func atText(b runtime.WatchChanged, deployed bool) string {
	switch b.State {
	case runtime.Settled:
		alone := leftAloneText(b.LeftAlone)
		switch {
		case len(b.Services) > 0:
			return "watching; failed: " + clean(strings.Join(b.Services, ", ")) + after("; ", alone)
		case b.Reason != "":
			return "watching; " + clip(clean(b.Reason)) + after("; ", alone)
		case alone != "":
			return "watching: everything else is deployed; " + alone
		}
		return "watching: everything is deployed"
	case runtime.Wrong:
		if deployed {
			return "errors in the file: the last good plan stays in effect"
		}
		return "errors in the file: nothing is deployed until they are corrected"
	case runtime.Held:
		return "holding: " + clean(b.Reason)
	case runtime.Paused:
		return "paused: changes are collected, and nothing runs"
	}
	return string(b.State)
}

// leftAloneText lists the services that are left as another run has deployed them, or
// returns "".
func leftAloneText(all []runtime.LeftAlone) string {
	const shown = 3
	if len(all) == 0 {
		return ""
	}
	var texts []string
	for _, l := range all[:min(shown, len(all))] {
		l.Revision = 0 // already part of a warning
		texts = append(texts, fmt.Sprintf("%s (%s)", l.Service, l))
	}
	text := "left alone: " + strings.Join(texts, ", ")
	if more := len(all) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return clean(text)
}

// after returns text after a separator, or "" if text is empty.
func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}
