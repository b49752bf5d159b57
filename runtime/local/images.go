package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
	"github.com/pipelinefile/pipe/runtime/store"
)

// Images are the images in a registry, with the clusters whose environments need them.
type Images struct {
	Registry *registry.Registry
	Prefix   string // of the registry, as it is named in references
	opts     Options
	clusters []*consumer
	embedded *trusted // nil: another registry is used
	close    func() error
}

// A consumer is a cluster that is asked which images it needs.
type consumer struct {
	ids   []string // it may have joined by any of them
	store *store.Store
	shown *inspect.Inspector
}

// OpenImages opens the registry that opts name, the cluster that they name, and those of more
// contexts of the kubeconfig. It starts no builder, and creates no registry.
func OpenImages(ctx context.Context, opts Options, contexts []string) (*Images, error) {
	opts.Passive, opts.StateNamespace = true, "" // the state of all environments, wherever it is
	im := &Images{opts: opts}
	for i := range 1 + len(contexts) {
		of := opts
		if i > 0 {
			of.Context, of.Local = contexts[i-1], false
		}
		config, err := cluster(ctx, of)
		if err != nil {
			return nil, err
		}
		c := &consumer{}
		if c.store, err = stateOf(config, of); err != nil {
			return nil, err
		}
		if c.shown, err = inspect.New(config); err != nil {
			return nil, err
		}
		if c.ids, err = clusterIDs(ctx, config, c.shown); err != nil {
			return nil, err
		}
		im.clusters = append(im.clusters, c)
	}
	var r Runtime
	if _, err := r.registry(ctx, opts); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	im.Registry, im.embedded, im.close = r.images, r.embedded, r.Close
	im.Prefix = r.prefix(opts)
	return im, nil
}

// Close releases the registry.
func (im *Images) Close() error { return im.close() }

// clusterIDs returns what identifies a cluster: its UID, if that may be read, and the address
// and the certificate authority of its API server. The address alone does not: several clusters
// are reached at a port of this machine.
func clusterIDs(ctx context.Context, config *rest.Config, shown *inspect.Inspector) ([]string, error) {
	uid, err := shown.ClusterID(ctx)
	if err != nil {
		return nil, err
	}
	authority := config.CAData
	if config.CAFile != "" && len(authority) == 0 {
		if authority, err = os.ReadFile(config.CAFile); err != nil {
			return nil, err
		}
	}
	host := "host-" + strings.TrimPrefix(string(plan.DigestOf([]byte(config.Host+"\x00"+string(authority)))), "sha256:")[:16]
	if uid == "" {
		return []string{host}, nil
	}
	return []string{"uid-" + uid, host}, nil
}

// An UnseenError says that a registry is used by clusters that were not asked which images
// they need.
type UnseenError struct{ Clusters []registry.Cluster }

func (e *UnseenError) Error() string {
	var names []string
	for _, c := range e.Clusters {
		names = append(names, fmt.Sprintf("%s (%s, since %s)", c.Name, c.ID, c.At.Format(time.DateOnly)))
	}
	return "the registry is used by other clusters, too, and it is not known which images they need: " + strings.Join(names, ", ")
}

// Unseen returns the clusters that use the registry and were not opened.
func (im *Images) Unseen(ctx context.Context) ([]registry.Cluster, error) {
	joined, err := im.Registry.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(joined, func(j registry.Cluster) bool {
		return slices.ContainsFunc(im.clusters, func(c *consumer) bool { return slices.Contains(c.ids, j.ID) })
	}), nil
}

// needs returns which images the clusters need that were opened, and the references to them.
func (im *Images) needs(ctx context.Context) (needs registry.Needs, refs []string, err error) {
	needs = registry.Needs{Digests: map[plan.Digest][]string{}, Tags: map[string][]string{}, Runs: map[string]string{}}
	for _, c := range im.clusters {
		used, err := c.store.Used(ctx) // before what is live: see registry.PruneOptions
		if err != nil {
			return registry.Needs{}, nil, err
		}
		live, err := c.shown.Images(ctx)
		if err != nil {
			return registry.Needs{}, nil, err
		}
		for ref, who := range used.Images {
			refs = append(refs, ref)
			add(needs, ref, who)
		}
		for ref, namespaces := range live {
			var who []string
			for _, namespace := range namespaces {
				who = append(who, cmp.Or(used.Environments[namespace], "namespace "+namespace))
			}
			add(needs, ref, who)
		}
		maps.Copy(needs.Runs, used.Runs)
	}
	return needs, refs, nil
}

// add adds an image that somebody needs.
func add(needs registry.Needs, ref string, who []string) {
	_, tag, digest := plan.CutImage(ref)
	if digest != "" {
		needs.Digests[plan.Digest(digest)] = append(needs.Digests[plan.Digest(digest)], who...)
		return
	}
	tag = cmp.Or(tag, "latest")
	needs.Tags[tag] = append(needs.Tags[tag], who...)
}

// A Listed is an image in the registry.
type Listed struct {
	*registry.Kept
	Why string   // why it is kept; empty: it may be removed
	For []string // the environments, as "pipeline/name", and the namespaces that need it
}

// List returns the images in the registry, and why images that are older than olderThan are
// kept, as far as the clusters say that were opened.
func (im *Images) List(ctx context.Context, olderThan time.Duration) ([]Listed, error) {
	needs, refs, err := im.needs(ctx)
	if err != nil {
		return nil, err
	}
	// A registry may not list its repositories: those of needed images are known.
	kept, err := im.Registry.Kept(ctx, refs)
	if err != nil {
		return nil, err
	}
	all := make([]Listed, len(kept))
	for i, k := range kept {
		all[i].Kept = k
		all[i].Why, all[i].For = k.Why(needs, olderThan)
	}
	return all, nil
}

// Forget removes the note of a cluster that no longer exists from the registry. If no cluster
// with that ID has joined, or it is one of those that were opened, the error is ErrNotFound. A
// dry run removes nothing.
func (im *Images) Forget(ctx context.Context, id string, dryRun bool) error {
	unseen, err := im.Unseen(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(unseen, func(c registry.Cluster) bool { return c.ID == id }) {
		return fmt.Errorf("cluster %q, other than those that are asked: %w in registry %s", id, runtime.ErrNotFound, im.Prefix)
	}
	if dryRun {
		return nil
	}
	return im.Registry.Forget(ctx, id)
}

// A Pruned is the result of Prune.
type Pruned struct {
	Images []Listed
	// Freed is the disk space that the embedded registry has freed, in bytes; other
	// registries free theirs themselves.
	Freed int64
}

// Prune removes those of all that are not needed; see [registry.Registry.Prune]. If the
// registry is used by clusters that were not opened, the error is an *UnseenError.
func (im *Images) Prune(ctx context.Context, all []Listed, olderThan time.Duration, waiting func([]string)) (done Pruned, err error) {
	kept := make([]*registry.Kept, len(all))
	for i, l := range all {
		kept[i] = l.Kept
	}
	removed, err := im.Registry.Prune(ctx, kept, registry.PruneOptions{
		OlderThan: olderThan,
		Waiting:   waiting,
		Needs: func(ctx context.Context) (registry.Needs, error) {
			needs, _, err := im.needs(ctx)
			if err != nil {
				return needs, err
			}
			// After the runs: a cluster joins before its first run looks for images.
			unseen, err := im.Unseen(ctx)
			if err == nil && len(unseen) > 0 {
				err = &UnseenError{unseen}
			}
			return needs, err
		},
	})
	for _, l := range all {
		if slices.Contains(removed, l.Kept) {
			done.Images = append(done.Images, l)
		}
	}
	if im.embedded == nil || err != nil {
		return done, err
	}
	freed, err := im.collect(ctx)
	done.Freed = freed.Bytes
	return done, err
}

// collect frees the disk space of the embedded registry.
func (im *Images) collect(ctx context.Context) (done serve.Collected, err error) {
	fail := func(err error) (serve.Collected, error) {
		return done, fmt.Errorf("free the space of the embedded registry: %w", err)
	}
	password, err := serve.Password(im.embedded.dir)
	if err != nil {
		return fail(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+im.embedded.prefix+serve.CollectPath, nil)
	if err != nil {
		return fail(err)
	}
	r.SetBasicAuth(serve.Writer, password)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fail(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("it answers %s", answer.Status))
	}
	if err := json.NewDecoder(answer.Body).Decode(&done); err != nil {
		return fail(err)
	}
	return done, nil
}
