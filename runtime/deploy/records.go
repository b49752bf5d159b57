package deploy

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// The labels that we give to the Secret of a revision of a release. They name
// the revision that they are about: Helm copies labels from one revision to the
// next, also when somebody else upgrades or rolls back.
const (
	labelFingerprint = "pipelinefile.github.io/fingerprint" // of what was deployed, see encode
	labelRevision    = "pipelinefile.github.io/revision"    // that has this fingerprint
	labelReady       = "pipelinefile.github.io/ready"       // the revision whose workloads became ready
)

// encode writes a digest as a label's value, which has at most 63 characters.
func encode(d plan.Digest) (string, error) {
	sum, err := hex.DecodeString(strings.TrimPrefix(string(d), "sha256:"))
	if err != nil || len(sum) != 32 {
		return "", fmt.Errorf("%q is no digest", d)
	}
	return strings.ToLower(encoding.EncodeToString(sum)), nil
}

// decode reads what encode wrote.
func decode(label string) plan.Digest {
	sum, err := encoding.DecodeString(strings.ToUpper(label))
	if err != nil || len(sum) != 32 {
		return ""
	}
	return plan.Digest("sha256:" + hex.EncodeToString(sum))
}

var encoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// A revision is what is known of one revision of a release without reading its Secret.
type revision struct {
	release string
	version int
	status  release.Status
	labels  map[string]string
	secret  version // as it was listed
}

// newRevision reads the metadata of a Secret of Helm.
func newRevision(m *metav1.PartialObjectMetadata) (revision, bool) {
	number, err := strconv.Atoi(m.Labels["version"])
	if err != nil || m.Labels["name"] == "" {
		return revision{}, false
	}
	return revision{m.Labels["name"], number, release.Status(m.Labels["status"]), m.Labels, version{m.UID, m.ResourceVersion}}, true
}

// fingerprint returns that of what was deployed, or "" if somebody else made the revision.
func (r revision) fingerprint() plan.Digest {
	if r.labels[labelRevision] != strconv.Itoa(r.version) {
		return ""
	}
	return decode(r.labels[labelFingerprint])
}

// ready reports whether the workloads of the revision became ready.
func (r revision) ready() bool { return r.labels[labelReady] == strconv.Itoa(r.version) }

func (r revision) deployed() runtime.Deployed {
	return runtime.Deployed{
		Fingerprint: r.fingerprint(),
		Ready:       r.status == release.StatusDeployed && r.fingerprint() != "" && r.ready(),
		Stopped:     r.stopped(),
		Status:      r.status.String(),
		Revision:    r.version,
	}
}

// Deployed implements [runtime.Deployer] with one request, for the metadata of
// the Secrets of Helm, and one more if there are releases from before owners were
// noted.
func (d *Deployer) Deployed(ctx context.Context, namespace string) (all map[string]runtime.Deployed, err error) {
	err = d.again(ctx, silent, "", func() (err error) {
		all, err = d.deployed(ctx, namespace)
		return err
	})
	return all, err
}

func (d *Deployer) deployed(ctx context.Context, namespace string) (map[string]runtime.Deployed, error) {
	// The last revision of a release is never superseded.
	looked := d.seen.look()
	all, version, err := d.revisions(ctx, namespace, "owner=helm,status!=superseded", "")
	if err != nil {
		return nil, err
	}
	d.seen.releases(namespace, version, looked, all)
	owners, err := d.ownersOf(ctx, namespace, all)
	if err != nil {
		return nil, err
	}
	out := make(map[string]runtime.Deployed)
	for _, r := range all { // the oldest first
		if r.status == release.StatusUninstalled {
			delete(out, r.release) // its history was kept
			continue
		}
		is := r.deployed()
		is.Owner = owners[r.release]
		out[r.release] = is
		if digest := r.fingerprint(); digest != "" { // it could be rendered
			d.checked.put(namespace+"/"+r.release, digest)
		}
	}
	return out, nil
}

// history returns the revisions of one release, the oldest first.
//
// A list as of now makes the API server wait until its cache has caught up, which it
// learns every 100 ms while others write. A list that may be as old as the last look
// at the namespace is answered immediately, and as new unless this process has acted
// on the release since. If somebody else has, which holding the lease excludes but for
// other tools, the writes conflict: see versioned.
func (d *Deployer) history(ctx context.Context, namespace, name string) ([]revision, error) {
	selector := "owner=helm,name=" + name
	if asOf := d.seen.asOf(namespace, name); asOf != "" {
		all, _, err := d.revisions(ctx, namespace, selector, asOf)
		if !apierrors.IsTimeout(err) { // of a cluster that was set back to an older state
			return all, err
		}
	}
	all, _, err := d.revisions(ctx, namespace, selector, "")
	return all, err
}

// revisions returns revisions of releases, the oldest first, and the version of the
// list. They are as of now, or not older than asOf.
func (d *Deployer) revisions(ctx context.Context, namespace, selector, asOf string) (all []revision, version string, err error) {
	opts := metav1.ListOptions{LabelSelector: selector, ResourceVersion: asOf}
	if asOf != "" {
		opts.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	}
	list, err := d.cluster.secretsMetadata(namespace).List(ctx, opts)
	if err != nil {
		return nil, "", d.explain(ctx, err)
	}
	for i := range list.Items {
		if r, ok := newRevision(&list.Items[i]); ok {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b revision) int { return a.version - b.version })
	return all, list.ResourceVersion, nil
}

var secretsResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

func (c *cluster) secretsMetadata(namespace string) metadata.ResourceInterface {
	return c.metadata.Resource(secretsResource).Namespace(namespace)
}

// records is where Helm keeps the revisions of one release: in Secrets, as the
// helm command does. Helm asks for the whole history several times in one
// operation, and of most revisions wants to know no more than that they are
// there: these are not read.
type records struct {
	*driver.Secrets
	secrets   *versioned
	history   []revision // the oldest first
	read      map[int]*release.Release
	creating  func() // is called before a revision is created; nil: nothing is
	onCreated func(*release.Release)
}

var _ driver.Driver = (*records)(nil)

func newRecords(secrets *versioned, history []revision, onCreated func(*release.Release)) *records {
	secrets.known = make(map[string]version)
	for _, rev := range history {
		secrets.known[secretName(rev.release, rev.version)] = rev.secret
	}
	return &records{
		Secrets: driver.NewSecrets(secrets), secrets: secrets,
		history: history, read: make(map[int]*release.Release), onCreated: onCreated,
	}
}

// secretName is the name of the Secret of a revision.
func secretName(name string, version int) string {
	return fmt.Sprintf("sh.helm.release.v1.%s.v%d", name, version)
}

// full reads a revision.
func (r *records) full(rev revision) (*release.Release, error) {
	if rel := r.read[rev.version]; rel != nil {
		return rel, nil
	}
	rel, err := r.Secrets.Get(secretName(rev.release, rev.version))
	if err != nil {
		return nil, err
	}
	r.read[rev.version] = rel
	return rel, nil
}

// Get implements [driver.Driver].
func (r *records) Get(key string) (*release.Release, error) {
	for _, rev := range r.history {
		if secretName(rev.release, rev.version) == key {
			return r.full(rev)
		}
	}
	return nil, driver.ErrReleaseNotFound
}

// Query implements [driver.Driver]. The last revision and those that are
// deployed are complete; of others there is the version and the status.
func (r *records) Query(labels map[string]string) ([]*release.Release, error) {
	var found []*release.Release
	for i, rev := range r.history {
		if want := labels["status"]; want != "" && want != rev.status.String() {
			continue
		}
		if i < len(r.history)-1 && rev.status != release.StatusDeployed && r.read[rev.version] == nil {
			found = append(found, &release.Release{
				Name: rev.release, Version: rev.version, Info: &release.Info{Status: rev.status}, Labels: rev.labels,
			})
			continue
		}
		rel, err := r.full(rev)
		if err != nil {
			return nil, err
		}
		found = append(found, rel)
	}
	if len(found) == 0 {
		return nil, driver.ErrReleaseNotFound
	}
	return found, nil
}

// Create implements [driver.Driver].
func (r *records) Create(key string, rel *release.Release) error {
	if r.creating != nil {
		r.creating()
	}
	if err := r.Secrets.Create(key, rel); err != nil {
		if strings.Contains(err.Error(), "Too long") {
			err = fmt.Errorf("the release is larger than the 1 MiB that a Secret may hold; take what no template needs out of the chart with .helmignore: %w", err)
		}
		return err
	}
	r.note(rel)
	r.onCreated(rel)
	return nil
}

// Update implements [driver.Driver].
func (r *records) Update(key string, rel *release.Release) error {
	if err := r.Secrets.Update(key, rel); err != nil {
		return err
	}
	r.note(rel)
	return nil
}

// note keeps the history in step with what was written.
func (r *records) note(rel *release.Release) {
	rev := revision{release: rel.Name, version: rel.Version, status: rel.Info.Status, labels: rel.Labels}
	i := slices.IndexFunc(r.history, func(have revision) bool { return have.version == rel.Version })
	if i < 0 {
		r.history = append(r.history, rev)
	} else {
		r.history[i] = rev
	}
	r.read[rel.Version] = rel
}

// Delete implements [driver.Driver]. A revision that is gone already is as good.
func (r *records) Delete(key string) (*release.Release, error) {
	i := slices.IndexFunc(r.history, func(rev revision) bool { return secretName(rev.release, rev.version) == key })
	if i < 0 {
		return nil, driver.ErrReleaseNotFound
	}
	rev := r.history[i]
	if err := r.secrets.Delete(context.Background(), key, metav1.DeleteOptions{}); err != nil {
		return nil, err
	}
	r.history = slices.Delete(r.history, i, i+1)
	return &release.Release{Name: rev.release, Version: rev.version, Info: &release.Info{Status: rev.status}}, nil
}

// List implements [driver.Driver]; Helm lists for commands that are not run here.
func (r *records) List(func(*release.Release) bool) ([]*release.Release, error) {
	return nil, errors.ErrUnsupported
}
