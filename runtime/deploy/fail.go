package deploy

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// explainTime limits the time for collecting evidence of a failure.
const explainTime = 20 * time.Second

// fail ends an operation that failed after Helm had recorded its revision: it collects
// the evidence while it still exists, records the failure, and rolls back to the last
// good revision if there is one and a rollback is wanted (A8).
func (o *operation) fail(ctx context.Context, stuck *unready) error {
	failed := o.failure(ctx, stuck)
	if err := o.recordFailure(failed.Err); err != nil {
		failed.Evidence = append(failed.Evidence, fmt.Sprintf("that revision %d failed could not be recorded: %v", o.rel.Version, err))
	}
	if o.r.OnFailure == runtime.Keep {
		return failed
	}
	good, ok := o.lastGood()
	if !ok {
		return failed
	}
	if err := o.rollback(ctx, good); err != nil {
		failed.Evidence = append(failed.Evidence, fmt.Sprintf("going back to revision %d: %v", good.Version, o.d.explain(ctx, err)))
		return failed
	}
	failed.RolledBack = good.Version
	return failed
}

// recordFailure records that the revision failed, if Helm has not: it sets the status also
// when it cannot store it.
func (o *operation) recordFailure(cause error) error {
	if o.records.status(o.rel.Version) == release.StatusFailed {
		return nil
	}
	o.rel.SetStatus(release.StatusFailed, observe.Clip(observe.OneLine(cause.Error()), 500))
	return o.records.Update(secretName(o.rel.Name, o.rel.Version), o.rel)
}

// lastGood returns the revision to roll back to: the last one that was ready, or else the
// last one that another tool had deployed. For a job there is none, as a rollback would
// run the old job again.
func (o *operation) lastGood() (good observe.Revision, ok bool) {
	if o.r.Service.Type == plan.Job {
		return observe.Revision{}, false
	}
	for _, r := range o.records.history {
		if r.Version >= o.rel.Version || statusOf(r) != release.StatusDeployed && statusOf(r) != release.StatusSuperseded {
			continue
		}
		ours := r.Fingerprint() != ""
		if ours && r.Ready() || !ours && !(good.Fingerprint() != "" && good.Ready()) {
			good, ok = r, true
		}
	}
	return good, ok
}

// rollback rolls back to a good revision and waits for it, with the same timeout as the
// deploy that failed.
func (o *operation) rollback(ctx context.Context, good observe.Revision) error {
	o.emit(runtime.WaitingFor{What: fmt.Sprintf("release %s to go back to revision %d, which may take %s again", o.rel.Name, good.Version, o.timeout)})
	o.limit = within(o.timeout)
	config, err := o.helm(ctx)
	if err != nil {
		return err
	}
	rollback := action.NewRollback(config)
	rollback.Version = good.Version
	rollback.Timeout = o.timeout
	rollback.MaxHistory = o.d.opts.HistoryMax
	o.hook = nil // discard the hook of the revision that failed
	if err := rollback.Run(o.rel.Name); err != nil {
		if o.hook != nil {
			return o.hook
		}
		return err
	}
	// Helm has recorded a new revision with the labels of the good one. The labels must
	// name the new revision; until then it counts as made by another tool.
	version := strconv.Itoa(o.rel.Version)
	labels := map[string]any{observe.LabelRevision: version, observe.LabelReady: nil}
	for k, v := range keyOf(o.r).Labels() { // the good one may be from before owners were recorded
		labels[k] = v
	}
	list, err := o.manifest(o.rel)
	if err != nil {
		return err
	}
	targets, err := o.targets(list)
	if err != nil {
		return err
	}
	notReady := o.await(ctx, targets)
	if notReady == nil {
		notReady = o.supersede()
	}
	if notReady == nil {
		labels[observe.LabelReady] = version
	}
	if err := o.setLabels(labels); err != nil && notReady == nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return notReady
}
