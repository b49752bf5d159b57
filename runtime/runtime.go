// Package runtime carries out plans: it has images built, keeps them in a
// registry and has releases deployed, stage by stage. It knows BuildKit, Helm
// and Kubernetes only through the small interfaces of contract.go.
package runtime

import (
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A Runtime carries out actions. All fields but Hide must be set.
type Runtime struct {
	Builder  Builder
	Registry Registry
	Deployer Deployer
	Store    Store
	Locker   Locker
	// Hide returns what takes the values of secrets out of a string (D4). The events,
	// records and errors of a run of p pass through it; the names that p has should
	// be left as they are. Nil: nothing is taken out.
	Hide func(p *plan.Plan) func(string) string
}

// hider returns what takes the values of secrets out of what a run of p says, or nil.
func (r *Runtime) hider(p *plan.Plan) func(string) string {
	if r.Hide == nil {
		return nil
	}
	return r.Hide(p)
}

// An Action is what a run does to an environment (SPEC §4).
type Action string

// The actions.
const (
	Deploy  Action = "deploy"
	Stop    Action = "stop"
	Restart Action = "restart"
	Delete  Action = "delete"
	// Start takes a stop back: what is deployed runs as it ran before. It needs
	// no image, no source and no secret.
	Start Action = "start"
)

// OnFailure says what happens to a release whose upgrade failed (A8).
type OnFailure string

// What can happen to a release whose upgrade failed.
const (
	Rollback OnFailure = "rollback"
	Keep     OnFailure = "keep"
)

// A Request asks for one run.
type Request struct {
	Action      Action
	Environment EnvironmentKey    // default: what the plan was evaluated for
	Plan        *plan.Plan        // as the Pipelinefile says it, without overrides; nil: the last plan of the environment
	Services    []string          // nil: the whole environment
	TakeOver    bool              // deploy: also what another tool has deployed under the name of a service (E6)
	Prune       bool              // deploy: also delete the releases whose service is not in the plan any more (D5)
	KeepVolumes bool              // delete of an environment: its volumes and the credentials of its databases stay (D6)
	Images      map[string]string // by service: deploy this image, by digest, and build and copy none
	RollbackTo  string            // ID of the run that is gone back to; kept in the record
	OnFailure   OnFailure         // default Rollback
	KeepGoing   bool              // after a failure go on within the stage (A3)
	Force       bool              // deploy also what is unchanged (A7)
	WaitLock    bool              // wait while another run holds the environment (A5)
	Supersede   bool              // with WaitLock: other runs that wait give up, with a *SupersededError
	Timeout     time.Duration     // of the whole run; 0: none
	By          string            // who asks, such as "ana@laptop"; kept in the record
	Commit      string            // of the Pipelinefile's repository; kept in the record
	Events      func(Event)       // called in order from one goroutine; nil: none

	collect bool  // beside the run, delete environments whose time is over
	turn    *Turn // of the session that the run is of; nil: of none
}

// A Step is what a run would do with one service.
type Step struct {
	Stage   string      `json:"stage"` // empty: a release that is pruned, of no service of the plan
	Service string      `json:"service"`
	Image   ImageAction `json:"image,omitempty"` // empty: the image needs nothing
	Do      State       `json:"do"`              // Deploying (Stopping, Restarting, Deleting, Starting), Unchanged or Skipped; Failed: it can be told now that it would fail
	Why     string      `json:"why"`             // of Image and Do, in a few words
	// Ref is the image that would be deployed: by digest or, if it is yet to be
	// built, by the tag that it is going to have. Empty: the chart brings its own.
	Ref string `json:"ref,omitempty"`
	// Warnings are what may go wrong with it.
	Warnings []plan.Diagnostic `json:"warnings,omitempty"`
}

// An ImageAction is what has to be done for an image to be in the registry.
type ImageAction string

// What can have to be done for an image.
const (
	ImageBuild  ImageAction = "build"
	ImageMirror ImageAction = "mirror"
)

// An EnvironmentKey names an environment.
type EnvironmentKey struct {
	Pipeline string `json:"pipeline"`
	Name     string `json:"name"`
}

// Namespace returns the Kubernetes namespace of the environment (SPEC §1).
func (k EnvironmentKey) Namespace() string { return plan.Namespace(k.Pipeline, k.Name) }

// State is where a service stands in a run, or how it ended.
type State string

// The states. A service ends in exactly one of the last five (A3).
const (
	Waiting   State = "waiting"
	Building  State = "building"
	Built     State = "built"
	Deploying State = "deploying"
	Stopping  State = "stopping"
	// Restarting, Deleting and Starting are, like Stopping, what Deploying is to the
	// action deploy.
	Restarting State = "restarting"
	Deleting   State = "deleting"
	Starting   State = "starting"
	Done       State = "done"
	Unchanged  State = "unchanged"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
	Skipped    State = "skipped"
)

// Ended reports whether s is one of the states in which a service can end.
func (s State) Ended() bool {
	switch s {
	case Done, Unchanged, Failed, Cancelled, Skipped:
		return true
	}
	return false
}

// A RunRecord is what is kept of a run (E5).
type RunRecord struct {
	ID         string      `json:"id"`
	Action     Action      `json:"action"`
	By         string      `json:"by,omitempty"`
	Commit     string      `json:"commit,omitempty"`
	PlanDigest plan.Digest `json:"plan_digest,omitempty"`
	// Inputs is a digest over the plan and the identities of all images that it
	// builds: over all that the files said. Empty if the run did not find it out.
	Inputs   plan.Digest     `json:"inputs,omitempty"`
	Start    time.Time       `json:"start"`
	End      time.Time       `json:"end,omitzero"`
	Services []ServiceRecord `json:"services"` // in the order of the plan
	Error    string          `json:"error,omitempty"`
	// Stale says that a newer run of the same session took over before this one was
	// done (ErrStale): how it ended says nothing about what it was about.
	Stale      bool     `json:"stale,omitempty"`
	Pruned     []string `json:"pruned,omitempty"`      // releases that were deleted, as the plan does not have their service (D5)
	RollbackTo string   `json:"rollback_to,omitempty"` // ID of the run that was gone back to
	// Plan is what was to be deployed, as the Pipelinefile said it. Store.Run
	// gives it; with the images of Services it is all that it takes to go back.
	Plan *plan.Plan `json:"-"`
}

// A ServiceRecord is the outcome for one service.
type ServiceRecord struct {
	Service string    `json:"service"`
	Stage   string    `json:"stage"`
	State   State     `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Image   string    `json:"image,omitempty"` // by digest
	Start   time.Time `json:"start,omitzero"`
	End     time.Time `json:"end,omitzero"`
	// LeftAlone is what another run has done to the service since a [Session] deployed
	// it, which the session leaves as it is. Nil: nothing.
	LeftAlone *LeftAlone `json:"left_alone,omitempty"`
	Error     string     `json:"error,omitempty"`
	Evidence  []string   `json:"evidence,omitempty"` // what explains the error, ready to show
	Err       error      `json:"-"`                  // the same error, to be told apart by its type
}
