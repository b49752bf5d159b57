package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed meanwhile")
	ErrTimeout  = errors.New("timed out") // exit status 5 (C2)
	// ErrNoAccess says that what may exist may not be read with the credentials that
	// pipe has. A cluster may have others.
	ErrNoAccess = errors.New("no access")
	// ErrUnreachable says that a server gave no answer from here.
	ErrUnreachable = errors.New("unreachable")
)

// A CommonError is a failure of something that many services need, such as a registry
// that does not answer or a right that is missing. Failures of services with
// CommonErrors of the same text have the same cause.
type CommonError struct {
	Text string
	Err  error // the cause; may be nil
}

func (e *CommonError) Error() string { return e.Text }

func (e *CommonError) Unwrap() error { return e.Err }

// A Builder turns build specifications into images.
type Builder interface {
	// Identify returns a digest over everything that goes into the image of b
	// (I1). It is cheap: no image is pulled, nothing is built.
	Identify(ctx context.Context, b plan.BuildSpec) (plan.Digest, error)
	// Build builds b, pushes the image to ref and returns the digest of its
	// manifest. On cancellation nothing is left running. A build that fails
	// because of what it builds is a *BuildError.
	Build(ctx context.Context, b plan.BuildSpec, ref string, emit Emit) (plan.Digest, error)
	// HasBranch reports whether a git repository, as Source.Git names it, has
	// the branch (E3).
	HasBranch(ctx context.Context, git, branch string) (bool, error)
}

// A BuildError is a build that failed because of what is built, and not of the
// builder: a wrong Dockerfile, a command that exits with an error.
type BuildError struct {
	Step string   // the instruction that failed, as the Dockerfile has it
	Pos  plan.Pos // of it, in the Dockerfile; zero if not known
	Log  []string // the last lines that it printed
	Err  error
}

func (e *BuildError) Error() string {
	if e.Step == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.Step, e.Err)
}

func (e *BuildError) Unwrap() error { return e.Err }

// A Registry keeps the images that releases are deployed from.
type Registry interface {
	// Ref returns the reference, by tag, under which the image of an identity
	// is kept. A ref of a digest is made by writing "@" and the digest in place
	// of the tag's ":" and what follows: see [ByDigest].
	Ref(service string, identity plan.Digest) string
	// Resolve returns the digest of the manifest at ref, or ErrNotFound. Where an
	// answer may also mean that the image is private, the error is ErrNoAccess, too;
	// without any answer it is ErrUnreachable.
	Resolve(ctx context.Context, ref string) (plan.Digest, error)
	// Mirrored says what Mirror of src would return, without changing
	// anything: the reference by digest, and whether the registry has all of
	// the image already, so that Mirror would do nothing. An image that does not exist is ErrNotFound. The
	// reference is a function of src and the digest that src has upstream.
	Mirrored(ctx context.Context, src string) (ref string, there bool, err error)
	// Mirror copies src, all its platforms and what refers to it, such as its
	// signatures, unless the registry has it, and
	// returns the reference by digest to deploy from (I3), and whether
	// anything was copied. An image that does not exist is ErrNotFound.
	Mirror(ctx context.Context, src string, emit Emit) (ref string, copied bool, err error)
}

// A Deployer acts on Helm releases.
type Deployer interface {
	// Prepare makes the namespace of key ready for releases: it creates it, the
	// credentials of the databases of p (D6), and the Secrets that its services refer
	// to and whose values pipe is given (D4). It is idempotent, and of what exists
	// changes only what it made itself for key: a secret whose source has another
	// value now. If the namespace belongs to another environment it writes nothing
	// and returns an *OwnedError (E6).
	Prepare(ctx context.Context, key EnvironmentKey, p *plan.Plan) error
	// MissingSecrets returns the Secrets that the services of p refer to and that the
	// namespace of key does not have, or not with the keys that are needed, by name. A
	// Secret that Prepare makes is not missing. It asks for the Secrets of the
	// namespace, once for all, as Fingerprint does.
	MissingSecrets(ctx context.Context, key EnvironmentKey, p *plan.Plan) ([]MissingSecret, error)
	// AwaitSecrets returns when the namespace of key has all Secrets that the service
	// refers to, and from then on Fingerprint knows them. It waits at most for the
	// timeout of the service and tells what it waits for; the error is a *SecretsError
	// that wraps ErrTimeout then, and the cause of the end of ctx if that ends first.
	AwaitSecrets(ctx context.Context, key EnvironmentKey, p *plan.Plan, service string, emit Emit) error
	// Deployed returns what is deployed in the namespace, by service, with its
	// owner, in a fixed number of requests, however many services there are. A
	// namespace that does not exist has nothing.
	Deployed(ctx context.Context, namespace string) (map[string]Deployed, error)
	// Fingerprint returns the digest over all that deploying r would write:
	// image, chart, values, configuration, the values of secrets (A7). It
	// does not depend on the revision. It asks no server, but for the secrets
	// of the namespace, once for all releases; a run calls it after Prepare.
	Fingerprint(ctx context.Context, r Release) (plan.Digest, error)
	// Check asks the cluster whether it would accept what deploying r changes of
	// objects that exist, and writes nothing (D8). What it would not accept is a
	// *RefusedError, and what cannot be asked is not an error. r.Image may be the image
	// that is deployed, if the new one is not made yet. What it returns is valid also
	// beside a *RefusedError.
	Check(ctx context.Context, r Release, emit Emit) (Checked, error)
	// Act does the action to one release, and returns when it is done:
	//
	//   - Deploy installs or upgrades r and waits until its workloads are ready (D2). On
	//     a failure it collects what explains it, rolls back if r says so (A8), and
	//     returns a *ReleaseError. When ctx is cancelled it completes what it is writing
	//     first (A4).
	//   - Stop scales the workloads of the release to zero and keeps its data. The next
	//     Deploy or Start restores them.
	//   - Start undoes Stop, even one that was interrupted, and waits until the
	//     workloads are ready.
	//   - Restart rolls the pods of the release.
	//   - Delete uninstalls the release; if it does not exist, that is not an error.
	//
	// A release that belongs to another environment is an *OwnedError, and is left as
	// it is (E6). Start, Stop and Restart of a release that does not exist are
	// ErrNotFound. A Deployer refuses an action that it does not know.
	Act(ctx context.Context, action Action, r Release, emit Emit) error
	// Remove removes what the releases of an environment leave in its namespace:
	// what Prepare made, and volumes, unless keepVolumes is set, in which case the
	// credentials of databases and the namespace are kept as well (D6). What belongs
	// to others is left as it is. Then the namespace is deleted, if pipe made it for
	// key and nothing of others is in it. If it is kept, a Warned event says why,
	// and it has no owner any more unless volumes are kept in it (E6). Remove
	// returns when all that it deletes is gone.
	Remove(ctx context.Context, key EnvironmentKey, keepVolumes bool, emit Emit) error
}

// A Release is one service in one environment, ready to be deployed.
type Release struct {
	Pipeline, Environment string // for labels
	Namespace             string
	Service               plan.Service
	Image                 string      // by digest; empty where the chart brings its own
	Fingerprint           plan.Digest // recorded with the release
	OnFailure             OnFailure
}

// Deployed says what is deployed of one service.
type Deployed struct {
	Fingerprint plan.Digest // of the release's last revision; empty if pipe did not make it
	Ready       bool        // its workloads became ready: with the Fingerprint equal, nothing is left to do
	Stopped     bool        // Stop has acted on it to the end
	Status      string      // Helm's: deployed, failed, pending-upgrade…
	Revision    int
	// Owner is the environment that deployed it (E6); zero: another tool did.
	Owner EnvironmentKey
}

// A ReleaseError is a release that did not become ready, and what explains it (A8).
type ReleaseError struct {
	Release    string
	Err        error    // the cause in one sentence
	Evidence   []string // the state of pods, their last events, their last log lines, ready to show
	RolledBack int      // revision that was gone back to; 0: none
	// Deadline is the deadline of a workload that is over, if that is the cause, such as
	// "activeDeadlineSeconds of job migrate". Generated charts set it to timeout=.
	Deadline string
	// Unbound are the volume claims that keep pods of the release from getting a node.
	Unbound []UnboundClaim
}

// An UnboundClaim is a PersistentVolumeClaim without a volume.
type UnboundClaim struct {
	Name  string
	Class string // its storage class; empty: it names none
	Why   string // in a few words, such as "its storage class fast does not exist"
}

func (e *ReleaseError) Error() string { return e.Err.Error() }

func (e *ReleaseError) Unwrap() error { return e.Err }

// A Checked says what a release has that matters to those of later stages.
type Checked struct {
	// Rules name what it has, or gives up, that decides which objects a cluster accepts,
	// such as "ResourceQuota" or "CustomResourceDefinition widgets.example.org".
	Rules []string
	// Objects are all that it has, as RefusedChange.Object names them.
	Objects []string
}

// A RefusedError says which changes the cluster does not accept of a release.
type RefusedError struct {
	Release string
	Changes []RefusedChange // at least one
}

// A RefusedChange is a change of one object that the cluster does not accept.
type RefusedChange struct {
	Object string   // such as "statefulset db"
	Fields []string // such as "spec.volumeClaimTemplates"; empty: the cluster names none
	Why    string   // in the cluster's words, or whose the object is
	Next   []string // what can be done: what loses no data comes first, and what loses some says what
	// Rules are what could have the cluster accept the change, if a rule of the cluster
	// refuses it: an admission policy, a quota, the schema of a kind. They are those of
	// [Checked]. Empty: nothing could.
	Rules []string
	// Exists says that the object is somebody else's, and Owner which release of the
	// same namespace has it, if one does: that may give it up.
	Exists bool
	Owner  string
}

func (e *RefusedError) Error() string {
	parts := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		parts[i] = c.Object + ": "
		if len(c.Fields) > 0 {
			parts[i] += strings.Join(c.Fields, ", ") + ": "
		}
		parts[i] += c.Why
	}
	return strings.Join(parts, "; ")
}

// A Store keeps environments and the records of their runs (E1, E5). Its errors
// say what was to be done to which environment, and so do those of a Locker.
type Store interface {
	// Owns reports whether the namespace of an environment belongs to it, and
	// its state is kept where this store keeps it (E6). It is false if the
	// namespace does not exist or has no owner: see Claim. The error is an
	// *OwnedError if another environment has the namespace, and an
	// *ElsewhereError if the state is kept in another place.
	Owns(ctx context.Context, key EnvironmentKey) (bool, error)
	// Claim makes the namespace one that the environment owns, and creates it if
	// there is none. Its errors are those of Owns; nothing is written then. If
	// several environments claim a namespace concurrently, one gets it. Who has no
	// right to label the namespace has claimed it with the record of the
	// environment: until that is saved, Claim is to be repeated under its lease.
	Claim(ctx context.Context, key EnvironmentKey) error
	// Environment returns the environment, or ErrNotFound, or a *DamagedError.
	Environment(ctx context.Context, key EnvironmentKey) (*Environment, error)
	// Environments returns the environments of a pipeline, by name; of all
	// pipelines if it is empty. Those that cannot be read are told beside them.
	Environments(ctx context.Context, pipeline string) ([]*Environment, []*DamagedError, error)
	// Save writes env and sets its Revision. It returns ErrConflict if env was
	// changed by another since it was read.
	Save(ctx context.Context, env *Environment) error
	// Delete removes the environment; none is no error. Its records go with it,
	// unless they are kept in a place of their own (E1).
	Delete(ctx context.Context, key EnvironmentKey) error
	// Expired returns the environments whose time was over at now (E3).
	Expired(ctx context.Context, now time.Time) ([]EnvironmentKey, error)
	// AddRun adds or replaces the record with the ID of run. Its plan, if it has
	// one, is kept as long as the record. The record of a run that has ended is
	// ErrNotFound if the place of the environment is gone, as after a deletion.
	AddRun(ctx context.Context, key EnvironmentKey, run RunRecord) error
	// Run returns the record with that ID and its plan, or ErrNotFound.
	Run(ctx context.Context, key EnvironmentKey, id string) (*RunRecord, error)
	// Runs returns the records that are kept, the newest first, without plans.
	Runs(ctx context.Context, key EnvironmentKey) ([]RunRecord, error)
}

// A Locker hands out named leases that end when their holder dies. Runs and
// builds use it to exclude each other across machines.
type Locker interface {
	// Lock returns the lease, or a *LockedError while somebody else holds it.
	Lock(ctx context.Context, key EnvironmentKey, holder string) (Lease, error)
	// Holder says who holds the lease; nil if nobody does.
	Holder(ctx context.Context, key EnvironmentKey) (*LockedError, error)
	// Cancel asks whoever holds the lease to end its work, for by, and returns
	// who that is. If nobody holds it, the error is ErrNotFound.
	Cancel(ctx context.Context, key EnvironmentKey, by string) (holder string, err error)
	// Announce tells those who wait for the lease, with LockedError.Next, that
	// by is going to have it in their place, and returns what it tells. If
	// nobody holds the lease, the error is ErrNotFound.
	Announce(ctx context.Context, key EnvironmentKey, by string) (next string, err error)
}

// A Lease is renewed until it is released.
type Lease interface {
	// Lost is closed when the lease could not be renewed: the work under it must stop.
	Lost() <-chan struct{}
	// Valid says, without asking anybody, whether nobody else can have the lease:
	// it was renewed lately and is not lost. See [Fence].
	Valid() bool
	// Cancelled gives, once, the name of whoever asked that the work under the
	// lease ends.
	Cancelled() <-chan string
	// Held asks whether the lease is still held.
	Held(ctx context.Context) (bool, error)
	// Release gives the lease back, also after it was lost.
	Release(ctx context.Context) error
}

// A LockedError says who holds a lease.
type LockedError struct {
	Key    EnvironmentKey
	Holder string
	Since  time.Time
	// Next changes when somebody announces to take the place of those who
	// wait: it begins with who that is, followed by a space. Empty: nobody did.
	Next string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("environment %s is locked by %s since %s", e.Key.Name, e.Holder, e.Since.Format(time.RFC3339))
}

// Secrets looks secret values up, outside the cluster (D4).
type Secrets interface {
	// Secret returns the value, or ErrNotFound.
	Secret(ctx context.Context, ref plan.SecretRef) (Secret, error)
}

// A Secret is a value that is never shown: it formats and marshals as REDACTED.
type Secret struct{ value string }

// NewSecret returns value as a Secret.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value. Whoever calls it must not let it out.
func (s Secret) Reveal() string { return s.value }

const redacted = "REDACTED"

// String returns "REDACTED".
func (Secret) String() string { return redacted }

// GoString returns "REDACTED".
func (Secret) GoString() string { return redacted }

// MarshalText returns "REDACTED".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ByDigest returns ref with its tag replaced by digest: the form in which
// releases name images (I4).
func ByDigest(ref string, digest plan.Digest) string {
	if i := strings.LastIndexByte(ref, '@'); i >= 0 {
		ref = ref[:i]
	}
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return ref + "@" + string(digest)
}
