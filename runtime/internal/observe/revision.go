package observe

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// AnnotationRelease is the annotation that Helm sets on each object of a release.
const AnnotationRelease = "meta.helm.sh/release-name"

// LabelInstance is the label that charts set on pods, by convention, to the name of the
// release.
const LabelInstance = "app.kubernetes.io/instance"

// The labels that pipe sets on the Secret of a revision. Their values include the number of
// the revision that they belong to, because Helm copies labels from one revision to the next,
// even if another tool upgrades or rolls back the release.
const (
	LabelFingerprint = "pipelinefile.github.io/fingerprint" // of what was deployed, see Encode
	LabelRevision    = "pipelinefile.github.io/revision"    // the revision with this fingerprint
	LabelReady       = "pipelinefile.github.io/ready"       // the revision whose workloads became ready
)

// Encode encodes a digest as the value of a label, which has at most 63 characters.
func Encode(d plan.Digest) (string, error) {
	sum, err := hex.DecodeString(strings.TrimPrefix(string(d), "sha256:"))
	if err != nil || len(sum) != 32 {
		return "", fmt.Errorf("%q is not a valid digest", d)
	}
	return strings.ToLower(encoding.EncodeToString(sum)), nil
}

// decode decodes a result of Encode.
func decode(label string) plan.Digest {
	sum, err := encoding.DecodeString(strings.ToUpper(label))
	if err != nil || len(sum) != 32 {
		return ""
	}
	return plan.Digest("sha256:" + hex.EncodeToString(sum))
}

var encoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// The statuses of revisions in Helm that are used here.
const (
	StatusDeployed    = "deployed"
	StatusUninstalled = "uninstalled"
)

// A Revision contains what is known about a revision of a release without reading its Secret.
type Revision struct {
	Release         string
	Version         int
	Status          string // as in Helm
	Labels          map[string]string
	UID             types.UID // of its Secret
	ResourceVersion string    // of its Secret, as it was listed
}

// NewRevision parses the metadata of a Secret of Helm.
func NewRevision(m *metav1.PartialObjectMetadata) (Revision, bool) {
	number, err := strconv.Atoi(m.Labels["version"])
	if err != nil || m.Labels["name"] == "" {
		return Revision{}, false
	}
	return Revision{m.Labels["name"], number, m.Labels["status"], m.Labels, m.UID, m.ResourceVersion}, true
}

// Fingerprint returns the fingerprint of the release, or "" if pipe did not create the
// revision.
func (r Revision) Fingerprint() plan.Digest {
	if r.Labels[LabelRevision] != strconv.Itoa(r.Version) {
		return ""
	}
	return decode(r.Labels[LabelFingerprint])
}

// Ready reports whether the workloads of the revision became ready.
func (r Revision) Ready() bool { return r.Labels[LabelReady] == strconv.Itoa(r.Version) }

// Deployed returns the state of the release according to the revision, without its owner.
func (r Revision) Deployed() runtime.Deployed {
	return runtime.Deployed{
		Fingerprint: r.Fingerprint(),
		Ready:       r.Status == StatusDeployed && r.Fingerprint() != "" && r.Ready(),
		Stopped:     r.stopped(),
		Status:      r.Status,
		Revision:    r.Version,
	}
}

// The prefixes of the value of LabelReady for a release that is being stopped, and for one
// that has stopped completely. The number of the revision follows, because Helm copies the
// labels to the next revision, which is not stopped.
const (
	Stopping = "stopping-"
	Stopped  = "stopped-"
)

// stopped reports whether everything in the revision was stopped and has ended.
func (r Revision) stopped() bool { return r.Labels[LabelReady] == Stopped+strconv.Itoa(r.Version) }

// IsStopped reports whether the release is stopped or being stopped.
func (r Revision) IsStopped() bool {
	return r.stopped() || r.Labels[LabelReady] == Stopping+strconv.Itoa(r.Version)
}

// Revisions returns revisions of releases, oldest first, and the version of the list. They
// are current, or, if asOf is set, not older than that.
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

// Deployed returns the releases in a namespace, and their revisions, oldest first, with the
// version of the list. It makes one request, and one more if there are releases without a
// recorded owner.
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
			delete(out, r.Release) // only its history was kept
			continue
		}
		is := r.Deployed()
		is.Owner = owners[r.Release]
		out[r.Release] = is
	}
	return out, all, version, nil
}
