// Package runtime carries out plans: it builds images, stores them in a
// registry and deploys releases, stage by stage. It uses BuildKit, Helm
// and Kubernetes only through the small interfaces of contract.go.
package runtime

import (
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A Runtime carries out actions on environments. All fields except Signatures, Scans and Hide are
// required.
type Runtime struct {
	Environments
	Builder  Builder
	Registry Registry
	Deployer Deployer
	// Signatures sign and verify images. Nil: a plan with sign= or verify= fails (I15, I16).
	Signatures Signatures
	// Scans scan images for vulnerabilities. Nil: a deploy of a plan with scan= fails (I14).
	Scans Scans
	// Hide returns a function that redacts the values of secrets in a string (D4). It
	// is applied to the events, records and errors of a run of p, and should not change
	// the names in p. Nil: nothing is redacted.
	Hide func(p *plan.Plan) func(string) string
}

// hider returns the function that redacts the output of a run of p, or nil.
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
	// Start reverses a stop: deployed services run as before. It requires
	// no image, source or secret.
	Start Action = "start"
)

// OnFailure decides what happens to a release whose upgrade failed (A8).
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
	Plan        *plan.Plan        // as evaluated, without overrides; nil: the last plan of the environment
	Services    []string          // nil: the whole environment
	Adopt       bool              // deploy: take over what exists, as if every service did (E8)
	Prune       bool              // deploy: also delete releases whose service is no longer in the plan (D5)
	KeepVolumes bool              // delete of an environment: keep its volumes and the credentials of its databases (D6)
	Images      map[string]string // by plan.ImageKey: deploy this image, by digest, instead of building or copying one
	RollbackTo  string            // deploy: the run to roll back to, see [Environments.Rollback]; stored in the record
	OnFailure   OnFailure         // default Rollback
	KeepGoing   bool              // after a failure, continue within the stage (A3)
	Force       bool              // also deploy unchanged services (A7)
	WaitLock    bool              // wait while another run holds the environment (A5)
	Supersede   bool              // with WaitLock: other runs that wait give up, with a *SupersededError
	Timeout     time.Duration     // of the whole run; 0: none
	By          string            // the user, such as "ana@laptop"; stored in the record
	Commit      string            // of the Pipelinefile's repository; stored in the record
	Events      func(Event)       // called in order from one goroutine; nil: none

	collect bool  // concurrently with the run, delete expired environments
	turn    *Turn // the run's place in its session; nil: the run belongs to no session
}

// A Step is what a run would do with one service.
type Step struct {
	Stage   string      `json:"stage"` // empty: a pruned release, which belongs to no service of the plan
	Service string      `json:"service"`
	Image   ImageAction `json:"image,omitempty"` // empty: the image needs nothing
	// Namespace is that of the release, if it is not that of the environment (E9).
	Namespace string `json:"namespace,omitempty"`
	Do        State  `json:"do"`  // Deploying (Stopping, Restarting, Deleting, Starting), Unchanged or Skipped; Failed: it is already known that it would fail
	Why       string `json:"why"` // of Image and Do, in a few words
	// Ref is the image that would be deployed: by digest or, if it has not been
	// built yet, by its future tag. Empty: the chart provides its own.
	Ref string `json:"ref,omitempty"`
	// Commit is the commit that the image is built from, if its source is in a git repository.
	Commit string `json:"commit,omitempty"`
	// RunImage is the run image that the builder image of its build by buildpacks names, if the plan names
	// none (I32).
	RunImage string `json:"run_image,omitempty"`
	// Images are those of plan.Service.Images, in their order.
	Images []StepImage `json:"images,omitempty"`
	// ChartImages are the images that its chart or its manifests name, by the references
	// there, if they are copied into the registry (I3).
	ChartImages []StepImage `json:"chart_images,omitempty"`
	// Scans are those of its images that would be scanned first (I14): by digest or, if that is not
	// known yet, by their future tag or their source.
	Scans []string `json:"scans,omitempty"`
	// Adopts are the existing objects that would become part of the release (E8).
	Adopts []Adoption `json:"adopts,omitempty"`
	// Warnings are warnings about the service.
	Warnings []plan.Diagnostic `json:"warnings,omitempty"`
}

// A StepImage is an image that a service has besides its own.
type StepImage struct {
	Name  string      `json:"name"`
	Image ImageAction `json:"image,omitempty"` // empty: the image needs nothing
	Ref   string      `json:"ref,omitempty"`   // as that of Step
	// Commit is as that of Step.
	Commit string `json:"commit,omitempty"`
	// RunImage is as that of Step.
	RunImage string `json:"run_image,omitempty"`
}

// An ImageAction is what must be done so that an image is in the registry.
type ImageAction string

// What may have to be done for an image.
const (
	ImageBuild  ImageAction = "build"
	ImageMirror ImageAction = "mirror"
)

// State is the state of a service in a run, or its result.
type State string

// The states. A service ends in exactly one of the last five (A3).
const (
	Waiting   State = "waiting"
	Building  State = "building"
	Built     State = "built"
	Deploying State = "deploying"
	Stopping  State = "stopping"
	// Restarting, Deleting, Starting and Stopping correspond to Deploying for the
	// other actions.
	Restarting State = "restarting"
	Deleting   State = "deleting"
	Starting   State = "starting"
	Done       State = "done"
	Unchanged  State = "unchanged"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
	Skipped    State = "skipped"
)

// Ended reports whether s is a final state.
func (s State) Ended() bool {
	switch s {
	case Done, Unchanged, Failed, Cancelled, Skipped:
		return true
	}
	return false
}

// A RunRecord is the stored record of a run (E5).
type RunRecord struct {
	ID         string      `json:"id"`
	Action     Action      `json:"action"`
	By         string      `json:"by,omitempty"`
	Commit     string      `json:"commit,omitempty"`
	PlanDigest plan.Digest `json:"plan_digest,omitempty"`
	// Inputs is a digest of the plan and the identities of all images that it
	// builds, and so of all inputs. Empty if the run did not determine it.
	Inputs   plan.Digest     `json:"inputs,omitempty"`
	Start    time.Time       `json:"start"`
	End      time.Time       `json:"end,omitzero"`
	Services []ServiceRecord `json:"services"` // in the order of the plan
	// Ahead is for how long images of later stages were built or copied before their stage
	// began (A2): the sum over all stages, in which concurrent builds count once.
	Ahead time.Duration `json:"ahead,omitempty"` // nanoseconds
	// Scanned is the number of images that were scanned for vulnerabilities (I14).
	Scanned int    `json:"scanned,omitempty"`
	Error   string `json:"error,omitempty"`
	// Stale reports whether a newer run of the same session superseded this one before
	// it was done (ErrStale): its result is not meaningful.
	Stale      bool     `json:"stale,omitempty"`
	Pruned     []string `json:"pruned,omitempty"`      // releases that were deleted because the plan does not contain their service (D5)
	Moved      []Place  `json:"moved,omitempty"`       // releases that were deleted because their service is in another namespace now (E9)
	RollbackTo string   `json:"rollback_to,omitempty"` // ID of the run that was rolled back to
	// Plan is the evaluated plan of the run. Only Store.Run sets it. Together with the
	// images of Services it is sufficient for a rollback.
	Plan *plan.Plan `json:"-"`
}

// Removed describes the releases that were deleted besides those of services.
func (r *RunRecord) Removed() []string {
	all := slices.Clone(r.Pruned)
	for _, place := range r.Moved {
		all = append(all, place.In(""))
	}
	return all
}

// A ServiceRecord is the result of a run for one service.
type ServiceRecord struct {
	Service string `json:"service"`
	Stage   string `json:"stage"`
	State   State  `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Image   string `json:"image,omitempty"` // by digest
	// Images are those of plan.Service.Images, by name and by digest.
	Images map[string]string `json:"images,omitempty"`
	// Mirrored are those that were deployed, by digest, instead of images that its chart or
	// its manifests name, by the references there.
	Mirrored map[string]string `json:"mirrored,omitempty"`
	Start    time.Time         `json:"start,omitzero"`
	End      time.Time         `json:"end,omitzero"`
	// LeftAlone is what another run has done to the service since a [Session] deployed
	// it. The session leaves such a service as it is. Nil: nothing.
	LeftAlone *LeftAlone `json:"left_alone,omitempty"`
	Error     string     `json:"error,omitempty"`
	// Cause is the kind of the error of a release; empty if it is not known.
	Cause    ReleaseCause `json:"cause,omitempty"`
	Evidence []string     `json:"evidence,omitempty"` // what explains the error, ready to show
	Err      error        `json:"-"`                  // the same error, as a value
}
