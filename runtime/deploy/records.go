package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// Deployed implements [runtime.Deployer] with one request for the metadata of the Secrets
// of Helm, and a second one if there are releases from before owners were recorded.
func (d *Deployer) Deployed(ctx context.Context, namespace string) (all map[string]runtime.Deployed, err error) {
	err = d.retry(ctx, silent, "", func() (err error) {
		all, err = d.deployed(ctx, namespace)
		return err
	})
	return all, err
}

func (d *Deployer) deployed(ctx context.Context, namespace string) (map[string]runtime.Deployed, error) {
	asOf := d.seen.tick()
	out, all, version, err := d.cluster.Deployed(ctx, namespace)
	if err != nil {
		return nil, err
	}
	d.seen.releases(namespace, version, asOf, all)
	for _, r := range all {
		if digest := r.Fingerprint(); digest != "" && statusOf(r) != release.StatusUninstalled { // it could be rendered
			d.checked.put(namespace+"/"+r.Release, digest)
		}
	}
	return out, nil
}

// statusOf returns the status of a revision in Helm's type.
func statusOf(r observe.Revision) release.Status { return release.Status(r.Status) }

// history returns the revisions of one release, the oldest first.
//
// A consistent list makes the API server wait until its cache has caught up, which it
// learns every 100 ms while others write. A list that may be as old as the last list of
// the namespace is answered immediately, and it is current unless this process has acted
// on the release since. If another tool has (other runs have not, as this one holds the
// lease), the writes conflict: see versioned.
func (d *Deployer) history(ctx context.Context, namespace, name string) ([]observe.Revision, error) {
	selector := "owner=helm,name=" + name
	if asOf := d.seen.asOf(namespace, name); asOf != "" {
		all, _, err := d.cluster.Revisions(ctx, namespace, selector, asOf)
		if !apierrors.IsTimeout(err) { // the cluster was restored to an older state
			return all, err
		}
	}
	all, _, err := d.cluster.Revisions(ctx, namespace, selector, "")
	return all, err
}

// records stores the revisions of one release for Helm: in Secrets, like the helm
// command. Helm asks for the whole history several times in one operation, and needs
// only the version and the status of most revisions: these are not read.
type records struct {
	*driver.Secrets
	secrets   *versioned
	history   []observe.Revision // the oldest first
	read      map[int]*release.Release
	creating  func(*release.Release) // called before a revision is created, if not nil
	onCreated func(*release.Release)
}

var _ driver.Driver = (*records)(nil)

func newRecords(secrets *versioned, history []observe.Revision, onCreated func(*release.Release)) *records {
	secrets.known = make(map[string]version)
	for _, rev := range history {
		secrets.known[secretName(rev.Release, rev.Version)] = version{rev.UID, rev.ResourceVersion}
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
func (r *records) full(rev observe.Revision) (*release.Release, error) {
	if rel := r.read[rev.Version]; rel != nil {
		return rel, nil
	}
	rel, err := r.Secrets.Get(secretName(rev.Release, rev.Version))
	if err != nil {
		return nil, err
	}
	r.read[rev.Version] = rel
	return rel, nil
}

// status returns the status of a revision as it is stored, or "".
func (r *records) status(version int) release.Status {
	if i := r.index(version); i >= 0 {
		return statusOf(r.history[i])
	}
	return ""
}

// index returns where a revision is in the history; -1 if it is not there.
func (r *records) index(version int) int {
	return slices.IndexFunc(r.history, func(rev observe.Revision) bool { return rev.Version == version })
}

// Get implements [driver.Driver].
func (r *records) Get(key string) (*release.Release, error) {
	for _, rev := range r.history {
		if secretName(rev.Release, rev.Version) == key {
			return r.full(rev)
		}
	}
	return nil, driver.ErrReleaseNotFound
}

// Query implements [driver.Driver]. The last revision and those that are deployed are
// complete; the others have only a version and a status.
func (r *records) Query(labels map[string]string) ([]*release.Release, error) {
	var found []*release.Release
	for i, rev := range r.history {
		if want := labels["status"]; want != "" && want != rev.Status {
			continue
		}
		if i < len(r.history)-1 && statusOf(rev) != release.StatusDeployed && r.read[rev.Version] == nil {
			found = append(found, &release.Release{
				Name: rev.Release, Version: rev.Version, Info: &release.Info{Status: statusOf(rev)}, Labels: rev.Labels,
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
	if creating := r.creating; creating != nil {
		r.creating = nil // the next revision may be a rollback, which is not the one that was rendered
		creating(rel)
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

// note updates the history with a revision that was written.
func (r *records) note(rel *release.Release) {
	rev := observe.Revision{Release: rel.Name, Version: rel.Version, Status: rel.Info.Status.String(), Labels: rel.Labels}
	if i := r.index(rel.Version); i < 0 {
		r.history = append(r.history, rev)
	} else {
		r.history[i] = rev
	}
	r.read[rel.Version] = rel
}

// Delete implements [driver.Driver]. A revision that is gone already is as good.
func (r *records) Delete(key string) (*release.Release, error) {
	i := slices.IndexFunc(r.history, func(rev observe.Revision) bool { return secretName(rev.Release, rev.Version) == key })
	if i < 0 {
		return nil, driver.ErrReleaseNotFound
	}
	rev := r.history[i]
	if err := r.secrets.Delete(context.Background(), key, metav1.DeleteOptions{}); err != nil {
		return nil, err
	}
	r.history = slices.Delete(r.history, i, i+1)
	return &release.Release{Name: rev.Release, Version: rev.Version, Info: &release.Info{Status: statusOf(rev)}}, nil
}

// List implements [driver.Driver]. Only commands of Helm that are not used here call it.
func (r *records) List(func(*release.Release) bool) ([]*release.Release, error) {
	return nil, errors.ErrUnsupported
}
