package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// Errors that callers distinguish with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed meanwhile")
	ErrTimeout  = errors.New("timed out") // exit status 5 (C2)
	// ErrNoAccess means that something may exist, but cannot be read or
	// written with the credentials of pipe. For an image a cluster may have others.
	ErrNoAccess = errors.New("no access")
	// ErrUnreachable means that a server did not respond.
	ErrUnreachable = errors.New("unreachable")
)

// A CommonError is a failure of something that many services need, such as a registry
// that does not answer or a missing permission. Failures of services whose
// CommonErrors have the same text have the same cause.
type CommonError struct {
	Text string
	Err  error // the cause; may be nil
}

func (e *CommonError) Error() string { return e.Text }

func (e *CommonError) Unwrap() error { return e.Err }

// A Builder turns build specifications into images.
type Builder interface {
	// Identify returns a digest of everything that the image of b is built from,
	// with the identities of b.Bases (I1). It is cheap: it pulls no image and builds nothing.
	// A git source with a Commit is that commit, whatever its Ref names now; so it is for Build.
	Identify(ctx context.Context, b plan.BuildSpec) (plan.Digest, error)
	// Build builds b, with the references of b.Bases as the values of those arguments, pushes the image to ref and returns the digest of its
	// manifest. When ctx is cancelled, nothing is left running. If the build fails
	// because of its input, the error is a *BuildError.
	Build(ctx context.Context, b plan.BuildSpec, ref string, emit Emit) (plan.Digest, error)
	// RunImages returns the images that the builder image of b names as the base of what its buildpacks
	// make (I32): the names of one image, the preferred one first. b.Bases has that builder image only.
	RunImages(ctx context.Context, b plan.BuildSpec) ([]string, error)
	// HasBranch reports whether a git repository, as Source.Git names it, has
	// the branch (E3).
	HasBranch(ctx context.Context, git, branch string) (bool, error)
	// Commit returns the commit that ref, a branch, a tag or a commit, names in a git
	// repository. It is an error if there is none.
	Commit(ctx context.Context, git, ref string) (string, error)
}

// A BuildError is a build that failed because of its input and not because of the
// builder, such as an invalid Dockerfile or a command that exits with an error.
type BuildError struct {
	Step string   // the instruction that failed, as it is in the Dockerfile
	Pos  plan.Pos // its position in the Dockerfile; zero if unknown
	Log  []string // the last lines of its output
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
	// is stored. [ByDigest] replaces the tag of a reference by a digest.
	Ref(service string, identity plan.Digest) string
	// Resolve returns the digest of the manifest at ref, or ErrNotFound. If the
	// response may also mean that the image is private, the error is ErrNoAccess as
	// well; without any response it is ErrUnreachable.
	Resolve(ctx context.Context, ref string) (plan.Digest, error)
	// Mirrored returns what Mirror would return for src, without changing
	// anything: the reference by digest, and whether the registry already has the
	// complete image, so that Mirror would do nothing. If the image does not exist,
	// the error is ErrNotFound. The reference is a function of src and its
	// upstream digest.
	Mirrored(ctx context.Context, src string) (ref string, there bool, err error)
	// Mirror copies src into the registry, with all its platforms and referrers,
	// such as signatures, unless the registry has it already. It returns the
	// reference by digest to deploy (I3), and whether anything was copied. If the
	// image does not exist, the error is ErrNotFound.
	Mirror(ctx context.Context, src string, emit Emit) (ref string, copied bool, err error)
	// Claim claims the build of the image at ref, a result of Ref, for the user by, so that
	// no other process that uses the registry builds it at the same time (I2). If another
	// process has claimed it, the error is a *ClaimedError. A claim whose process died
	// expires. A registry whose users all have the same builder, which executes equal builds
	// once, may grant every claim, unless always is set: something else makes the image.
	Claim(ctx context.Context, ref, by string, always bool) (Claim, error)
}

// A Claim is renewed until it is released.
type Claim interface {
	// Lost is closed when another process has the claim.
	Lost() <-chan struct{}
	// Release ends the claim. It may be called after the claim was lost. If the registry
	// cannot be reached, the claim expires.
	Release(ctx context.Context)
}

// A ClaimedError names the user whose process builds an image.
type ClaimedError struct {
	Ref string
	By  string
	// Wait returns nil when the claim has probably ended, or the cause of the end of ctx. Nil: it
	// is not noticed, so that the image has to be looked up at intervals.
	Wait func(ctx context.Context) error
}

func (e *ClaimedError) Error() string { return e.By + " builds it" }

// A Deployer acts on Helm releases.
type Deployer interface {
	// Prepare makes the namespaces ready for releases: it creates that of key, and those of
	// services of p that have one of their own (E9), and in the namespace of key
	// the credentials of the databases of p (D6), and the Secrets that its services
	// refer to and whose values are provided to pipe (D4). It is idempotent, and
	// changes only existing Secrets that it created itself for key, if their source has
	// a new value. If one of the namespaces belongs to another environment, it writes
	// nothing and returns an *OwnedError (E6). Namespaces of services that exist are not
	// changed.
	Prepare(ctx context.Context, key EnvironmentKey, p *plan.Plan) error
	// MissingSecrets returns the Secrets that the services of p refer to and that do
	// not exist in the namespace of key, or lack a required key, sorted by name. A
	// Secret that Prepare creates is not missing. It requests the Secrets of the
	// namespace only once, as Fingerprint does.
	MissingSecrets(ctx context.Context, key EnvironmentKey, p *plan.Plan) ([]MissingSecret, error)
	// AwaitSecrets returns when the namespace of key has all Secrets that the service
	// refers to; from then on Fingerprint uses them. It waits at most for the
	// timeout of the service and reports what it waits for. The error is a *SecretsError
	// that wraps ErrTimeout, or the cause of ctx if that is cancelled first.
	AwaitSecrets(ctx context.Context, key EnvironmentKey, p *plan.Plan, service string, emit Emit) error
	// Deployed returns what is deployed in the namespace, by service, with its
	// owner. It makes a fixed number of requests, regardless of the number of
	// services. For a namespace that does not exist the result is empty.
	Deployed(ctx context.Context, namespace string) (map[string]Deployed, error)
	// Images returns the images that the chart or the manifests of r name in specifications
	// of pods, in the order of the objects and of their containers: those that MirrorImages
	// of its service is about. It writes nothing, and does not depend on r.Mirrored. The
	// images of r may not be made yet; of a Secret that does not exist, the chart gets no value.
	Images(ctx context.Context, r Release) ([]PodImage, error)
	// Fingerprint returns the digest of everything that deploying r would write:
	// images, chart, values, configuration, the values of secrets (A7). It
	// does not depend on the revision. It makes no requests, except one for the
	// Secrets of the namespace, shared by all releases; a run calls it after Prepare.
	Fingerprint(ctx context.Context, r Release) (plan.Digest, error)
	// Check asks the cluster whether it would accept what deploying r changes of
	// objects that exist, and writes nothing (D8). What it would not accept is a
	// *RefusedError, and what cannot be asked is not an error. The images of r may be those
	// that are deployed, if the new ones are not made yet. What it returns is valid also
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
	// Remove removes what the releases of an environment leave behind in its namespace:
	// the objects that Prepare created, and volumes, unless keepVolumes is set, in which
	// case the credentials of databases and the namespace are kept as well (D6). It
	// leaves objects of other owners as they are. It then deletes the namespace, if pipe
	// created it for key and it contains no objects of others. If the namespace is kept,
	// a Warned event says why, and the namespace no longer has an owner unless volumes
	// are kept in it (E6). Remove returns when everything that it deletes is gone.
	//
	// Before that, it does the same in the further namespaces, in which releases of the
	// environment have been (E9): it deletes the volumes of these releases, and the
	// namespaces that Prepare has created for key, if they contain nothing else.
	Remove(ctx context.Context, key EnvironmentKey, further []string, keepVolumes bool, emit Emit) error
}

// A Store keeps environments and the records of their runs (E1, E5). Its errors
// name the operation and the environment, and so do those of a Locker.
type Store interface {
	// Owns reports whether the namespace of an environment belongs to it, and
	// its state is kept where this store keeps it (E6). It is false if the
	// namespace does not exist or has no owner: see Claim. The error is an
	// *OwnedError if another environment owns the namespace, an *ElsewhereError if the
	// state is kept elsewhere, and a *MovedError if the environment exists in another
	// namespace, as far as the user may see that.
	Owns(ctx context.Context, key EnvironmentKey) (bool, error)
	// Claim makes the environment the owner of the namespace, and creates the namespace
	// if it does not exist. Its errors are those of Owns; nothing is written then. If
	// several environments claim a namespace concurrently, one gets it. Without
	// permission to label the namespace, the record of the environment is the claim:
	// until it is saved, call Claim again under the environment's lease.
	Claim(ctx context.Context, key EnvironmentKey) error
	// Environment returns the environment, or ErrNotFound, or a *DamagedError.
	Environment(ctx context.Context, key EnvironmentKey) (*Environment, error)
	// Environments returns the environments of a pipeline, or of all pipelines if
	// pipeline is empty, sorted by name, and those that cannot be read.
	Environments(ctx context.Context, pipeline string) ([]*Environment, []*DamagedError, error)
	// Save writes env and sets its Revision. It returns ErrConflict if env has
	// changed since it was read.
	Save(ctx context.Context, env *Environment) error
	// Delete removes the environment; it is not an error if it does not exist. Its
	// records are removed, too, unless they are kept in a separate namespace (E1).
	Delete(ctx context.Context, key EnvironmentKey) error
	// Expired returns the environments that have expired at now (E3).
	Expired(ctx context.Context, now time.Time) ([]EnvironmentKey, error)
	// AddRun adds or replaces the record with the ID of run. Its plan, if it has
	// one, is kept as long as the record. For a run that has ended, the error is
	// ErrNotFound if the namespace of the state is gone, as after a deletion.
	AddRun(ctx context.Context, key EnvironmentKey, run RunRecord) error
	// Run returns the record with that ID and its plan, or ErrNotFound.
	Run(ctx context.Context, key EnvironmentKey, id string) (*RunRecord, error)
	// Runs returns the stored records, newest first, without plans.
	Runs(ctx context.Context, key EnvironmentKey) ([]RunRecord, error)
}

// A Locker grants leases that expire when their holder dies. Runs of an environment use it
// to exclude each other across machines.
type Locker interface {
	// Lock returns the lease, or a *LockedError if it is held by another holder.
	Lock(ctx context.Context, key EnvironmentKey, holder string) (Lease, error)
	// Holder returns the holder of the lease, or nil if it is free.
	Holder(ctx context.Context, key EnvironmentKey) (*Holder, error)
	// Cancel asks the holder of the lease to end its work, on behalf of by, and
	// returns the holder. If the lease is free, the error is ErrNotFound.
	Cancel(ctx context.Context, key EnvironmentKey, by string) (holder string, err error)
	// Announce informs other waiters, through Holder.Next, that by supersedes
	// them, and returns the announcement. If the lease is free, the error is ErrNotFound.
	Announce(ctx context.Context, key EnvironmentKey, by string) (Announcement, error)
}

// A Lease is renewed until it is released.
type Lease interface {
	// Lost is closed when the lease cannot be renewed: the work under it must stop.
	Lost() <-chan struct{}
	// Valid reports, without a request, whether the lease is certainly held: it was
	// renewed recently enough and is not lost. See [Fence].
	Valid() bool
	// Cancelled delivers, once, the name of the user who asked that the work under
	// the lease ends.
	Cancelled() <-chan string
	// Held asks the server whether the lease is still held.
	Held(ctx context.Context) (bool, error)
	// Release releases the lease. It may be called after the lease was lost.
	Release(ctx context.Context) error
}

// A LockedError says that another holder has the lease of an environment.
type LockedError struct {
	Key    EnvironmentKey
	Holder Holder
}

// A Holder is who holds a lease, and since when.
type Holder struct {
	By    string // the user, such as ana@laptop
	Since time.Time
	// Next is the last announcement of a run that supersedes the waiters; zero: there
	// is none.
	Next Announcement
}

// An Announcement says that a run supersedes those who wait for a lease.
type Announcement struct {
	By string // the user of that run
	ID string // differs from one announcement to the next, even of the same user
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("environment %s is locked by %s since %s", e.Key.Name, e.Holder.By, e.Holder.Since.Format(time.RFC3339))
}

// Secrets looks up secret values outside the cluster (D4).
type Secrets interface {
	// Secret returns the value, or ErrNotFound.
	Secret(ctx context.Context, ref plan.SecretRef) (Secret, error)
}

// A Secret is a value that is never shown: it formats and marshals as REDACTED.
type Secret struct{ value string }

// NewSecret returns value as a Secret.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value. The caller must not disclose it.
func (s Secret) Reveal() string { return s.value }

const redacted = "REDACTED"

// String returns "REDACTED".
func (Secret) String() string { return redacted }

// GoString returns "REDACTED".
func (Secret) GoString() string { return redacted }

// MarshalText returns "REDACTED".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ByDigest returns ref with its tag replaced by digest, the form in which
// releases name images (I4).
func ByDigest(ref string, digest plan.Digest) string {
	name, _, _ := plan.CutImage(ref)
	return name + "@" + string(digest)
}
