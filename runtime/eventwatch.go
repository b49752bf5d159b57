package runtime

import (
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A WatchState is what watch mode is at (SPEC §9).
type WatchState string

// The states of watch mode.
const (
	Evaluating WatchState = "evaluating" // the file is evaluated again
	Running    WatchState = "running"    // at least one run goes on
	Settled    WatchState = "settled"    // everything has been done for the files as they are
	Wrong      WatchState = "wrong"      // the file has errors; the last good plan stays in charge
	Held       WatchState = "held"       // somebody is asked whether to run
	Paused     WatchState = "paused"     // changes are gathered and nothing runs
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
	Revision int    `json:"revision,omitempty"` // Deploy: of the release now
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
	// FilesChanged says that inputs have another content, and what comes of it
	// begins.
	FilesChanged struct {
		Paths []string `json:"paths"`          // below the workspace, sorted; the first twenty
		More  int      `json:"more,omitempty"` // how many more there are
		Head  bool     `json:"head,omitempty"` // the repository's HEAD has moved
	}
	// WatchChanged says what watch mode is at.
	WatchChanged struct {
		State    WatchState        `json:"state"`
		Reason   string            `json:"reason,omitempty"`   // in a few words
		Services []string          `json:"services,omitempty"` // Held: those that would be deployed; Settled: those that failed
		Errors   []plan.Diagnostic `json:"errors,omitempty"`   // Wrong: what is wrong with the file
		// LeftAlone are, of Settled, the services that are not as the file says, as
		// another run has changed them.
		LeftAlone []LeftAlone `json:"left_alone,omitempty"`
		// Inputs is the digest of what was carried out last; see RunRecord.Inputs.
		Inputs plan.Digest `json:"inputs,omitempty"`
	}
	// ServiceRemoved says that a service was removed from the plan (D5).
	ServiceRemoved struct {
		// Prune says that a run deletes its release when everything else is deployed;
		// RunRecord.Pruned tells when that is done. Otherwise the release stays.
		Prune bool `json:"prune,omitempty"`
	}
	// PodLog is a line that a pod of a service has printed, which was deployed, or
	// whose pods were rolled, since watch mode began.
	PodLog struct {
		Pod       string    `json:"pod"`
		Container string    `json:"container"`
		Printed   time.Time `json:"printed,omitzero"` // by the clock of its node; zero: its server does not say
		Text      string    `json:"text"`             // without the line's end
	}
	// Forwarding says where a port of a service is reached on this machine.
	Forwarding struct {
		Port   int    `json:"port"`             // of the service
		URL    string `json:"url"`              // such as "http://127.0.0.1:8080", or an address for what is not HTTP
		State  string `json:"state"`            // "listening", "connected", "waiting", "failed"
		Reason string `json:"reason,omitempty"` // why it is not connected
	}
	// Synced says that files were copied into a running container.
	Synced struct {
		Pod       string        `json:"pod"`
		Container string        `json:"container"`
		Files     int           `json:"files"`             // copied
		Removed   int           `json:"removed,omitempty"` // deleted in the container
		Bytes     int64         `json:"bytes"`
		Took      time.Duration `json:"took"`                // nanoseconds
		Restarted bool          `json:"restarted,omitempty"` // the container was restarted with them
		Error     string        `json:"error,omitempty"`     // why it could not be done
	}
)

// The names of the events in JSON.

func (FilesChanged) Kind() string   { return "files.changed" }
func (WatchChanged) Kind() string   { return "watch" }
func (ServiceRemoved) Kind() string { return "service.removed" }
func (PodLog) Kind() string         { return "pod.log" }
func (Forwarding) Kind() string     { return "forward" }
func (Synced) Kind() string         { return "sync" }
