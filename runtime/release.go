package runtime

import (
	"context"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A Release is one service in one environment, ready to be deployed.
type Release struct {
	Pipeline, Environment string // for labels
	Namespace             string
	// Home is the namespace of the environment, which has the Secrets that the service
	// refers to; empty: Namespace.
	Home    string
	Service plan.Service
	Image   string            // by digest; empty if the chart provides its own
	Images  map[string]string // by digest: those of Service.Images that are known, by name; nil: none
	// Mirrored are the images, by digest, that are deployed instead of those of Images of the
	// Deployer, by the references there; nil: none.
	Mirrored map[string]string
	// Mirror is called by the deploy of a service with MirrorImages before anything of it is
	// written, except the CRDs of its chart, if the pods that it would write name other images
	// than those of Mirrored. It copies the images that they name, and returns the Mirrored to
	// deploy with; an image that cannot be copied is an *ImagesError. Nil: other images stay as
	// they are.
	Mirror      func(ctx context.Context, named []PodImage) (map[string]string, error)
	Fingerprint plan.Digest // recorded with the release
	// Adopt makes a deploy take over what exists under the names of the release and of its
	// objects and belongs to no environment (E8): a release that another tool deployed is
	// continued, and other objects become part of the release. Otherwise they are refused.
	Adopt     bool
	OnFailure OnFailure
}

// Deployed describes the deployed release of one service.
type Deployed struct {
	Fingerprint plan.Digest // of the release's last revision; empty if pipe did not write it
	Ready       bool        // its workloads became ready: if the Fingerprint is equal, there is nothing to do
	Stopped     bool        // a stop of it was completed
	Status      string      // Helm's: deployed, failed, pending-upgrade…
	Revision    int
	// Owner is the environment that deployed it (E6); zero: another tool.
	Owner EnvironmentKey
}

// A ReleaseError is a release that did not become ready, with the evidence (A8).
type ReleaseError struct {
	Release string
	// Cause is the kind of what is wrong; empty if that is not known.
	Cause      ReleaseCause
	Err        error    // the cause in one sentence
	Evidence   []string // the state of pods, their last events, their last log lines, ready to show
	RolledBack int      // the revision that it was rolled back to; 0: it was not
	// Deadline is the deadline of a workload that is over, if that is the cause, such as
	// "activeDeadlineSeconds of job migrate". Generated charts set it to timeout=.
	Deadline string
	// Unbound are the volume claims that keep pods of the release from getting a node.
	Unbound []UnboundClaim
}

// A ReleaseCause is the kind of what keeps a release from being ready. Views choose by it
// what to advise.
type ReleaseCause string

// The causes of failed releases.
const (
	CauseImage   ReleaseCause = "image"         // a node cannot pull an image
	CauseCrash   ReleaseCause = "crash"         // a container ends with an error
	CauseMemory  ReleaseCause = "memory"        // a container takes more memory than its limit
	CauseCommand ReleaseCause = "command"       // an image does not say what to run
	CauseNode    ReleaseCause = "unschedulable" // no node takes a pod
	CauseClaim   ReleaseCause = "claim"         // a volume claim is not bound, see ReleaseError.Unbound
	CauseRights  ReleaseCause = "rights"        // pipe lacks a permission in the cluster
	CauseQuota   ReleaseCause = "quota"         // a quota of the namespace is used up
	CauseObject  ReleaseCause = "object"        // the cluster does not accept an object or a pod
	CauseHook    ReleaseCause = "hook"          // a hook of the chart fails, and its pods do not show why
	CauseHealth  ReleaseCause = "health"        // containers run and are not ready in time
)

// An UnboundClaim is a PersistentVolumeClaim without a volume.
type UnboundClaim struct {
	Name  string
	Class string // its storage class; empty: none
	Why   string // in a few words, such as "its storage class fast does not exist"
}

func (e *ReleaseError) Error() string { return e.Err.Error() }

func (e *ReleaseError) Unwrap() error { return e.Err }

// A Checked says what a release has that matters to those of later stages.
type Checked struct {
	// Rules name what it has, or gives up, that may decide which objects a cluster accepts:
	// the kinds of its objects, such as "ResourceQuota", "custom resources" for those that
	// Kubernetes does not define, and such as "CustomResourceDefinition widgets.example.org".
	Rules []string
	// Objects are all that it has.
	Objects []ObjectRef
	// Partial means that Rules and Objects are not all: the chart is not generated, and was not rendered.
	Partial bool
	// Adopted are the existing objects that it would take over, if Release.Adopt is set.
	Adopted []Adoption
}

// A ChartError says that a release cannot be made of its chart and values. Nothing was
// deployed.
type ChartError struct {
	Err error
	// Kind is the kind of an object that the cluster does not know; empty if that is
	// not what is wrong.
	Kind string
	// Absent are the Secrets without which it was rendered, because they, or their keys, do
	// not exist yet: values of the chart are to be theirs.
	Absent []string
}

func (e *ChartError) Error() string {
	if len(e.Absent) == 0 {
		return e.Err.Error()
	}
	return e.Err.Error() + "; the values of " + plural("Secret", e.Absent) + " " + strings.Join(e.Absent, ", ") + ", which do not exist yet, were left out"
}

func (e *ChartError) Unwrap() error { return e.Err }

// An ObjectRef identifies an object of a cluster.
type ObjectRef struct {
	Group     string // of the API, such as "apps"; empty: the core group
	Kind      string // such as "StatefulSet"
	Namespace string // empty: the object is in none
	Name      string
}

// String returns the kind and the name, such as "statefulset db".
func (o ObjectRef) String() string { return strings.ToLower(o.Kind) + " " + o.Name }

// A RefusedError lists the changes of a release that the cluster would refuse.
type RefusedError struct {
	Release string
	Changes []RefusedChange // at least one
}

// A RefusedChange is a change of one object that the cluster would refuse.
type RefusedChange struct {
	Object ObjectRef
	Fields []string // such as "spec.volumeClaimTemplates"; empty: the cluster names none
	Why    string   // in the cluster's words, or whose the object is
	Next   []string // what can be done: what loses no data comes first, and what loses some says what
	// Rules are what could have the cluster accept the change, if a rule of the cluster
	// refuses it: an admission policy, a quota, the schema of a kind. They are those of
	// [Checked]. Empty: nothing could.
	Rules []string
	// Exists says that the object is somebody else's, and Owner which release has it, if one
	// does: that may give it up.
	Exists bool
	Owner  Place
	// Awaited says that the object does not exist and that pods of the release wait for it:
	// a release of the same stage or of an earlier one may create it.
	Awaited bool
}

func (e *RefusedError) Error() string {
	parts := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		parts[i] = c.Object.String() + ": "
		if len(c.Fields) > 0 {
			parts[i] += strings.Join(c.Fields, ", ") + ": "
		}
		parts[i] += c.Why
	}
	return strings.Join(parts, "; ")
}
