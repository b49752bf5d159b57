package runtime

import (
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// Emit reports the progress of an operation. It may be called
// from any goroutine until the operation returns.
type Emit func(Body)

// An Event is one thing that happened in a run.
type Event struct {
	Seq     uint64 // counts from 1, without gaps
	Time    time.Time
	Run     int    // watch mode: the number of the run, from 1; 0: no run, or the only one
	Stage   string // empty if the event is about the run
	Service string // empty if the event is about a stage or the run
	Body    Body
}

// A Body describes what happened. Only types of this package implement it.
type Body interface {
	// Kind is the name of the event in JSON, such as "service.state".
	Kind() string
	// redacted returns the event with its strings redacted, see [Redact].
	redacted(hide func(string) string) Body
}

type (
	// RunStarted is the first event of a run, except for WaitingFor while
	// another run holds the environment.
	RunStarted struct {
		Run       string         `json:"run"`
		Action    Action         `json:"action"`
		Namespace string         `json:"namespace"`
		Stages    []StageOutline `json:"stages"` // in the order they will run
	}
	// A StageOutline lists the services that a run acts on in one stage.
	StageOutline struct {
		Name     string   `json:"name"`
		Services []string `json:"services"`
	}
	// StageStarted means that the first work of a stage starts. A stage with
	// nothing to do neither starts nor ends.
	StageStarted struct{}
	// StageEnded means that all services of a stage have ended.
	StageEnded struct {
		Failed bool `json:"failed,omitempty"`
	}
	// StateChanged is the new state of a service.
	StateChanged struct {
		State  State  `json:"state"`
		Reason string `json:"reason,omitempty"` // why, in a few words
	}
	// BuildStep is a change of one step of an image's build.
	BuildStep struct {
		ID      string        `json:"id"`
		Name    string        `json:"name"`
		Started bool          `json:"started,omitempty"`
		Done    bool          `json:"done,omitempty"`
		Cached  bool          `json:"cached,omitempty"`
		Took    time.Duration `json:"took,omitempty"`  // nanoseconds; set with Done
		Bytes   int64         `json:"bytes,omitempty"` // transferred so far
		Of      int64         `json:"of,omitempty"`    // total bytes, if known
		Error   string        `json:"error,omitempty"`
	}
	// Transfer is the progress of copying an image.
	Transfer struct {
		Image string `json:"image"`
		Bytes int64  `json:"bytes"`
		Of    int64  `json:"of"`
	}
	// TagMoved means that a tag refers to another image upstream than when it was last copied
	// (I3).
	TagMoved struct {
		Image string      `json:"image"` // with the tag
		From  plan.Digest `json:"from"`
		To    plan.Digest `json:"to"`
	}
	// Scanned means that an image was scanned for vulnerabilities (I14). The numbers are those of
	// findings.
	Scanned struct {
		Image    string `json:"image"` // by digest
		Critical int    `json:"critical"`
		High     int    `json:"high"`
		Medium   int    `json:"medium"`
		Low      int    `json:"low"`
		Unknown  int    `json:"unknown"`         // without a severity
		Above    int    `json:"above,omitempty"` // that stop a deploy
	}
	// Log is one line of output.
	Log struct {
		Source string `json:"source"` // build step or pod/container
		Text   string `json:"text"`   // without the line's end
	}
	// PodChanged is the new state of a pod.
	PodChanged struct {
		Pod    string `json:"pod"`
		Phase  string `json:"phase"`            // such as "Running"
		Ready  bool   `json:"ready,omitempty"`  //
		Reason string `json:"reason,omitempty"` // such as "ImagePullBackOff: …"
	}
	// WaitingFor names the object that keeps a service from being ready or,
	// without a service, what keeps the run from starting.
	WaitingFor struct {
		What string `json:"what"` // such as "deployment api: 1 of 2 replicas are available"
	}
	// Retried means that an operation is retried after a transient error, or waits because
	// its registry has asked for that.
	Retried struct {
		What  string `json:"what"`
		Error string `json:"error"`
		Again int    `json:"again"`          // which retry, from 1; 0 if it only waits
		Wait  int64  `json:"wait,omitempty"` // for how long it waits, in seconds, if a registry asks for that
		From  string `json:"from,omitempty"` // the builder that has failed, if another one takes over
		To    string `json:"to,omitempty"`   // the builder that takes over
	}
	// Adopts is an existing object that the service is about to take over (E8).
	Adopts Adoption
	// Printed is a call of print() in the Pipelinefile (L5).
	Printed struct {
		Pos  plan.Pos `json:"pos"`
		Text string   `json:"text"`
	}
	// Warned is a warning about the Pipelinefile or about the run.
	Warned struct {
		Diagnostic plan.Diagnostic `json:"diagnostic"`
	}
	// RunEnded is the last event of a run.
	RunEnded struct {
		Record *RunRecord `json:"record"`
	}
)

// The names of the events in JSON.

func (RunStarted) Kind() string   { return "run.started" }
func (StageStarted) Kind() string { return "stage.started" }
func (StageEnded) Kind() string   { return "stage.ended" }
func (StateChanged) Kind() string { return "service.state" }
func (BuildStep) Kind() string    { return "build.step" }
func (Transfer) Kind() string     { return "image.transfer" }
func (TagMoved) Kind() string     { return "image.moved" }
func (Scanned) Kind() string      { return "image.scanned" }
func (Log) Kind() string          { return "log" }
func (PodChanged) Kind() string   { return "pod" }
func (WaitingFor) Kind() string   { return "waiting" }
func (Retried) Kind() string      { return "retry" }
func (Adopts) Kind() string       { return "adopt" }
func (Printed) Kind() string      { return "print" }
func (Warned) Kind() string       { return "warning" }
func (RunEnded) Kind() string     { return "run.ended" }
