package runtime

import (
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A WatchState is the state of watch mode (SPEC §9).
type WatchState string

// The states of watch mode.
const (
	Evaluating WatchState = "evaluating" // the Pipelinefile is being evaluated
	Running    WatchState = "running"    // at least one run is in progress
	Settled    WatchState = "settled"    // nothing remains to be done for the current files
	Wrong      WatchState = "wrong"      // the Pipelinefile has errors; the last good plan remains in effect
	Held       WatchState = "held"       // the user is asked whether to run
	Paused     WatchState = "paused"     // changes are collected, and nothing runs
)

// WatchStates returns all states of watch mode.
func WatchStates() []WatchState {
	return []WatchState{Evaluating, Running, Settled, Wrong, Held, Paused}
}

// A LeftAlone says what another run has done to a service since watch mode deployed
// it. Watch mode leaves the service as it is until it changes in the file.
type LeftAlone struct {
	Service  string `json:"service"`
	Action   Action `json:"action"`             // Deploy, Stop or Delete
	Revision int    `json:"revision,omitempty"` // Deploy: the current revision of the release
}

// String returns, for example, "deployed by another run (revision 3)".
func (l LeftAlone) String() string {
	switch l.Action {
	case Deploy:
		text := "deployed by another run"
		if l.Revision > 0 {
			text += fmt.Sprintf(" (revision %d)", l.Revision)
		}
		return text
	case Stop:
		return "stopped by another run"
	}
	return "deleted by another run"
}

// The events of watch mode, besides those of its runs.
type (
	// FilesChanged means that the content of inputs has changed, and that watch mode
	// starts to process the change.
	FilesChanged struct {
		Paths []string `json:"paths"`          // the first twenty, relative to the workspace, sorted
		More  int      `json:"more,omitempty"` // how many more have changed
		Head  bool     `json:"head,omitempty"` // the repository's HEAD has moved
	}
	// WatchChanged is the new state of watch mode.
	WatchChanged struct {
		State    WatchState        `json:"state"`
		Reason   string            `json:"reason,omitempty"`   // in a few words
		Services []string          `json:"services,omitempty"` // Held: the services that would be deployed; Settled: those that failed
		Errors   []plan.Diagnostic `json:"errors,omitempty"`   // Wrong: the errors in the Pipelinefile
		// LeftAlone lists, for Settled, the services that do not match the file because
		// another run has changed them.
		LeftAlone []LeftAlone `json:"left_alone,omitempty"`
		// Inputs is the digest of the inputs that were last deployed; see RunRecord.Inputs.
		Inputs plan.Digest `json:"inputs,omitempty"`
	}
	// ServiceRemoved means that a service was removed from the plan (D5).
	ServiceRemoved struct {
		// Prune reports whether a run will delete its release when everything else is
		// deployed; RunRecord.Pruned then lists it. Otherwise the release is kept.
		Prune bool `json:"prune,omitempty"`
	}
	// PodLog is a line printed by a pod of a service that watch mode has deployed, or
	// whose pods it has replaced.
	PodLog struct {
		Pod       string    `json:"pod"`
		Container string    `json:"container"`
		Printed   time.Time `json:"printed,omitzero"` // by the clock of its node; zero: unknown
		Text      string    `json:"text"`             // without the line's end
	}
	// Forwarding is the state of a local port that is forwarded to a port of a service.
	Forwarding struct {
		Port   int    `json:"port"`             // of the service
		URL    string `json:"url"`              // such as "http://127.0.0.1:8080", or an address for other protocols
		State  string `json:"state"`            // "listening", "connected", "waiting", "failed"
		Reason string `json:"reason,omitempty"` // why it is not connected
	}
	// Synced means that files were copied into a running container.
	Synced struct {
		Pod       string        `json:"pod"`
		Container string        `json:"container"`
		Files     int           `json:"files"`             // copied
		Removed   int           `json:"removed,omitempty"` // deleted in the container
		Bytes     int64         `json:"bytes"`
		Took      time.Duration `json:"took"`                // nanoseconds
		Restarted bool          `json:"restarted,omitempty"` // the container was restarted with them
		Error     string        `json:"error,omitempty"`     // why it failed
	}
)

// The names of the events in JSON.

func (FilesChanged) Kind() string   { return "files.changed" }
func (WatchChanged) Kind() string   { return "watch" }
func (ServiceRemoved) Kind() string { return "service.removed" }
func (PodLog) Kind() string         { return "pod.log" }
func (Forwarding) Kind() string     { return "forward" }
func (Synced) Kind() string         { return "sync" }
