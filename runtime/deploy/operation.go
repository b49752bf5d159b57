package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// An operation is one action on one release.
type operation struct {
	d       *Deployer
	r       runtime.Release
	emit    runtime.Emit
	began   time.Time
	timeout time.Duration
	limit   limit // of the deploy, and then of the rollback: each may take the timeout
	objects *objects
	records *records

	// Set for a deploy only:
	chart       *chart.Chart
	use         chart.Use
	fingerprint plan.Digest

	rel    *release.Release // the current revision
	holds  []func()         // called by close: release the caches of the operation and record its end
	begun  bool             // Helm has recorded rel: the cluster may have been changed
	waited bool             // its workloads were awaited already, for a hook
	hook   *unready         // why a hook failed; Helm reports this only as text

	// Set when the operation writes the release, and used by a rollback, too:
	rerun    rerun             // which jobs run again
	leftover kube.ResourceList // objects of failed revisions, which Helm does not track
}

// open reads the history of the release and begins an operation on it.
func (d *Deployer) open(ctx context.Context, r runtime.Release, emit runtime.Emit) (*operation, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	name := r.Service.Name
	history, err := d.history(ctx, r.Namespace, name)
	if err != nil {
		return nil, fmt.Errorf("look at the history of release %s: %w", name, err)
	}
	o, err := d.openWith(ctx, r, history, emit)
	if err != nil {
		return nil, err
	}
	d.seen.acts(r.Namespace, name)
	o.holds = append(o.holds, func() { d.seen.acts(r.Namespace, name) })
	return o, nil
}

// openWith begins an operation on a release with the given history.
func (d *Deployer) openWith(ctx context.Context, r runtime.Release, history []observe.Revision, emit runtime.Emit) (*operation, error) {
	name := r.Service.Name
	requests := withWarnings(context.WithoutCancel(ctx), warner(r.Service, emit))
	o := &operation{d: d, r: r, emit: emit, began: time.Now(), timeout: timeoutOf(r.Service)}
	o.limit = within(o.timeout)
	source := "the chart of " + name
	if len(r.Service.Manifests) > 0 {
		source = "the manifests of " + name
	}
	o.objects = &objects{
		source:  source,
		cluster: d.cluster,
		release: name, namespace: r.Namespace, environment: r.Environment,
		requests: func() context.Context {
			if err := runtime.Fence(ctx); err != nil {
				refused, cancel := context.WithCancelCause(requests)
				cancel(err)
				return refused
			}
			return requests
		},
	}
	o.hold(r.Namespace, nil)
	secrets := &versioned{
		SecretInterface: d.cluster.Typed.CoreV1().Secrets(r.Namespace),
		meta:            d.cluster.SecretsMetadata(r.Namespace), requests: o.objects.requests,
	}
	o.records = newRecords(secrets, history, func(rel *release.Release) { o.rel, o.begun = rel, true })
	if err := o.ours(); err != nil {
		o.close()
		return nil, err
	}
	if o.adopting() {
		o.objects.adopter = &adopter{cluster: d.cluster.Cluster, owner: keyOf(r).Owner(), release: o.adoptsRelease()}
	}
	return o, nil
}

// close releases everything that the operation holds.
func (o *operation) close() {
	for _, done := range o.holds {
		done()
	}
}

// hold keeps the cache of a namespace open until the operation is closed.
func (o *operation) hold(namespace string, kinds []string) {
	_, done := o.d.caches.Of(o.d.cluster.Cluster, namespace, kinds)
	o.holds = append(o.holds, done)
}

// expect starts the watches for the workloads that are about to be written, so that
// waiting for them need not wait for the watches first.
func (o *operation) expect(list kube.ResourceList) {
	kinds := make(map[string][]string) // by namespace
	for _, info := range list {
		if kind := workloadKind(info); kind != "" {
			kinds[info.Namespace] = append(kinds[info.Namespace], kind)
		}
	}
	for namespace, workloads := range kinds {
		o.hold(namespace, kindsFor(workloads))
	}
}

// warner returns a function that emits the warnings of the server, each only once.
func warner(s plan.Service, emit runtime.Emit) func(string) {
	var mu sync.Mutex
	var emitted []string
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(emitted, text) {
			emitted = append(emitted, text)
			emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Pos: s.Pos, Message: s.Name + ": the cluster warns: " + text}})
		}
	}
}

// loadChart determines the chart, its use and the fingerprint of the deploy.
func (o *operation) loadChart(ctx context.Context) (err error) {
	if o.chart, o.use, err = o.d.chartOf(ctx, o.r); err != nil {
		return err
	}
	if o.fingerprint = o.r.Fingerprint; o.fingerprint == "" {
		o.fingerprint, err = fingerprintOf(o.r, o.chart, o.use)
	}
	return err
}

// last returns the last revision.
func (o *operation) last() (observe.Revision, bool) {
	if n := len(o.records.history); n > 0 {
		return o.records.history[n-1], true
	}
	return observe.Revision{}, false
}

// helm returns the configuration for one action of Helm, whose waits end with ctx.
func (o *operation) helm(ctx context.Context) (*action.Configuration, error) {
	caps, err := o.d.cluster.capabilities()
	if err != nil {
		return nil, fmt.Errorf("ask the cluster what it can do: %w", err)
	}
	config := &action.Configuration{
		RESTClientGetter: getter{o.d.cluster},
		KubeClient:       &helmClient{o.objects, o, ctx},
		Releases:         storage.Init(o.records),
		Capabilities:     caps,
		Log:              func(string, ...any) {},
	}
	if o.chart != nil && o.chart.HasCRDs() {
		config.Capabilities = nil // Helm reads them after it has installed the CRDs
	}
	return config, nil
}

// labels returns our labels for the next revision.
func (o *operation) labels() (map[string]string, error) {
	encoded, err := observe.Encode(o.fingerprint)
	if err != nil {
		return nil, err
	}
	next := 1
	if last, ok := o.last(); ok {
		next = last.Version + 1
	}
	labels := keyOf(o.r).Labels()
	labels[observe.LabelFingerprint], labels[observe.LabelRevision] = encoded, fmt.Sprint(next)
	if o.objects.adopter != nil {
		labels[labelAdopts] = fmt.Sprint(next)
	}
	return labels, nil
}

// setLabels sets labels of the current revision with one request.
func (o *operation) setLabels(labels map[string]any) error {
	secret := secretName(o.rel.Name, o.rel.Version)
	if err := o.records.secrets.label(secret, labels); err != nil {
		return fmt.Errorf("note in Secret %s the progress of revision %d: %w", secret, o.rel.Version, err)
	}
	return nil
}

// recover repairs a release that a dead process left behind, so that Helm can work with
// it (A6). No other process works on the release: the caller holds the lease.
func (o *operation) recover(ctx context.Context) error {
	last, ok := o.last()
	if !ok {
		return nil
	}
	if err := o.idle(); err != nil {
		return err
	}
	// One that is not the last was left by a run that could not record its failure.
	for _, rev := range slices.Clone(o.records.history) {
		if !statusOf(rev).IsPending() {
			continue
		}
		if err := o.interrupted(rev); err != nil {
			return err
		}
	}
	if statusOf(last) == release.StatusUninstalling {
		if err := o.uninstall(ctx); err != nil {
			return err
		}
		o.emit(runtime.Log{Source: "helm", Text: "ended a deletion that was interrupted"})
	}
	return nil
}

// interrupted records that a pending revision failed.
func (o *operation) interrupted(rev observe.Revision) error {
	rel, err := o.records.full(rev)
	if err != nil {
		return err
	}
	rel.SetStatus(release.StatusFailed, fmt.Sprintf("interrupted while it was %s", rev.Status))
	if err := o.records.Update(secretName(rel.Name, rel.Version), rel); err != nil {
		return err
	}
	o.emit(runtime.Log{Source: "helm", Text: fmt.Sprintf("revision %d was left %s by a run that was interrupted; it counts as failed now", rev.Version, rev.Status)})
	return nil
}

// supersede records that only the last one of the deployed revisions is deployed. Helm does this for the
// earlier ones when it writes a revision, but goes on if it fails.
func (o *operation) supersede() error {
	found := false
	for _, rev := range slices.Backward(slices.Clone(o.records.history)) {
		if statusOf(rev) != release.StatusDeployed {
			continue
		}
		if !found {
			found = true
			continue
		}
		secret := secretName(rev.Release, rev.Version)
		rel, err := o.records.Secrets.Get(secret) // the server may have carried out what Helm took for a failure
		if err == nil && rel.Info.Status == release.StatusDeployed {
			rel.Info.Status = release.StatusSuperseded
			err = o.records.Update(secret, rel)
		}
		if err != nil {
			return fmt.Errorf("note in Secret %s that revision %d is superseded: %w", secret, rev.Version, err)
		}
	}
	return nil
}

// manifest returns the objects of a release, without its hooks.
func (o *operation) manifest(rel *release.Release) (kube.ResourceList, error) {
	return o.objects.read(strings.NewReader(rel.Manifest))
}
