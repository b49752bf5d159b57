package observe

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// AnnotationRelease is what Helm sets on every object of a release.
const AnnotationRelease = "meta.helm.sh/release-name"

// LabelInstance is what charts set on pods, by convention, to the name of the release.
const LabelInstance = "app.kubernetes.io/instance"

// The labels that we give to the Secret of a revision of a release. They name
// the revision that they are about: Helm copies labels from one revision to the
// next, also when somebody else upgrades or rolls back.
const (
	LabelFingerprint = "pipelinefile.github.io/fingerprint" // of what was deployed, see Encode
	LabelRevision    = "pipelinefile.github.io/revision"    // that has this fingerprint
	LabelReady       = "pipelinefile.github.io/ready"       // the revision whose workloads became ready
)

// Encode writes a digest as a label's value, which has at most 63 characters.
func Encode(d plan.Digest) (string, error) {
	sum, err := hex.DecodeString(strings.TrimPrefix(string(d), "sha256:"))
	if err != nil || len(sum) != 32 {
		return "", fmt.Errorf("%q is no digest", d)
	}
	return strings.ToLower(encoding.EncodeToString(sum)), nil
}

// decode reads what Encode wrote.
func decode(label string) plan.Digest {
	sum, err := encoding.DecodeString(strings.ToUpper(label))
	if err != nil || len(sum) != 32 {
		return ""
	}
	return plan.Digest("sha256:" + hex.EncodeToString(sum))
}

var encoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// Helm's words for the status of a revision that are looked for here.
const (
	StatusDeployed    = "deployed"
	StatusUninstalled = "uninstalled"
)

// A Revision is what is known of one revision of a release without reading its Secret.
type Revision struct {
	Release         string
	Version         int
	Status          string // in Helm's words
	Labels          map[string]string
	UID             types.UID // of its Secret
	ResourceVersion string    // of its Secret, as it was listed
}

// NewRevision reads the metadata of a Secret of Helm.
func NewRevision(m *metav1.PartialObjectMetadata) (Revision, bool) {
	number, err := strconv.Atoi(m.Labels["version"])
	if err != nil || m.Labels["name"] == "" {
		return Revision{}, false
	}
	return Revision{m.Labels["name"], number, m.Labels["status"], m.Labels, m.UID, m.ResourceVersion}, true
}

// Fingerprint returns that of what was deployed, or "" if somebody else made the revision.
func (r Revision) Fingerprint() plan.Digest {
	if r.Labels[LabelRevision] != strconv.Itoa(r.Version) {
		return ""
	}
	return decode(r.Labels[LabelFingerprint])
}

// Ready reports whether the workloads of the revision became ready.
func (r Revision) Ready() bool { return r.Labels[LabelReady] == strconv.Itoa(r.Version) }

// Deployed returns what the revision says of its release, without its owner.
func (r Revision) Deployed() runtime.Deployed {
	return runtime.Deployed{
		Fingerprint: r.Fingerprint(),
		Ready:       r.Status == StatusDeployed && r.Fingerprint() != "" && r.Ready(),
		Stopped:     r.stopped(),
		Status:      r.Status,
		Revision:    r.Version,
	}
}

// The beginnings of the value of LabelReady of a release that is to be stopped, and of
// one of which all has ended. It ends with the revision: Helm copies the labels of a
// revision to the next one, which is not stopped.
const (
	Stopping = "stopping-"
	Stopped  = "stopped-"
)

// stopped reports whether all of the revision has ended, as it was stopped.
func (r Revision) stopped() bool { return r.Labels[LabelReady] == Stopped+strconv.Itoa(r.Version) }

// IsStopped reports whether the release is stopped, or was about to be.
func (r Revision) IsStopped() bool {
	return r.stopped() || r.Labels[LabelReady] == Stopping+strconv.Itoa(r.Version)
}

// Revisions returns revisions of releases, the oldest first, and the version of the
// list. They are as of now, or not older than asOf.
func (c *Cluster) Revisions(ctx context.Context, namespace, selector, asOf string) (all []Revision, version string, err error) {
	opts := metav1.ListOptions{LabelSelector: selector, ResourceVersion: asOf}
	if asOf != "" {
		opts.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	}
	list, err := c.SecretsMetadata(namespace).List(ctx, opts)
	if err != nil {
		return nil, "", c.Explain(ctx, err)
	}
	for i := range list.Items {
		if r, ok := NewRevision(&list.Items[i]); ok {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Revision) int { return a.Version - b.Version })
	return all, list.ResourceVersion, nil
}

// Deployed returns what is deployed in a namespace, and the revisions that say so, the
// oldest first, with the version of their list. It is one request, and one more if
// there are releases from before owners were noted.
func (c *Cluster) Deployed(ctx context.Context, namespace string) (out map[string]runtime.Deployed, all []Revision, version string, err error) {
	// The last revision of a release is never superseded.
	all, version, err = c.Revisions(ctx, namespace, "owner=helm,status!=superseded", "")
	if err != nil {
		return nil, nil, "", err
	}
	owners, err := c.OwnersOf(ctx, namespace, all)
	if err != nil {
		return nil, nil, "", err
	}
	out = make(map[string]runtime.Deployed)
	for _, r := range all {
		if r.Status == StatusUninstalled {
			delete(out, r.Release) // its history was kept
			continue
		}
		is := r.Deployed()
		is.Owner = owners[r.Release]
		out[r.Release] = is
	}
	return out, all, version, nil
}

// OthersIn returns the releases in the namespace of an environment that belong to
// another one. Who may not look at releases is told of none.
func (c *Cluster) OthersIn(ctx context.Context, key runtime.EnvironmentKey) ([]string, error) {
	all, _, _, err := c.Deployed(ctx, key.Namespace())
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for name, r := range all {
		if r.Owner != key && r.Owner != (runtime.EnvironmentKey{}) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
