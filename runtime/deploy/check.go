package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// Changes that the cluster would reject are found before anything is written (SPEC D8):
// the objects that change are patched in a dry run, which goes through validation,
// admission and quotas like the patch itself. For an object that the release does not
// have yet, only its owner is checked; this is skipped in a namespace that was created
// just now, which is empty. Checks that are not possible, such as with a webhook that
// does not support dry runs, are left to the deploy.

// Check implements [runtime.Deployer].
func (d *Deployer) Check(ctx context.Context, r runtime.Release, emit runtime.Emit) (checked runtime.Checked, err error) {
	err = d.retry(ctx, emit, "check "+r.Service.Name, func() error {
		checked, err = d.check(ctx, r, emit)
		return d.explain(ctx, err)
	})
	return checked, err
}

func (d *Deployer) check(ctx context.Context, r runtime.Release, emit runtime.Emit) (runtime.Checked, error) {
	missing, err := d.missingClaims(ctx, r)
	if err != nil {
		return runtime.Checked{}, err
	}
	checked, err := d.checkChange(ctx, r, emit)
	var refused *runtime.RefusedError
	switch {
	case len(missing) == 0:
	case err == nil:
		err = &runtime.RefusedError{Release: r.Service.Name, Changes: missing}
	case errors.As(err, &refused):
		refused.Changes = append(refused.Changes, missing...)
	}
	return checked, err
}

// checkChange checks the objects of a release. In a new namespace of an environment nothing
// can conflict, so the release is not queried.
// A release with a namespace of its own is often one of cluster-scoped objects, which another
// namespace may have already.
func (d *Deployer) checkChange(ctx context.Context, r runtime.Release, emit runtime.Emit) (none runtime.Checked, err error) {
	fresh := d.seen.fresh(r.Namespace) && !r.Adopt && r.Namespace == homeOf(r)
	if fresh && r.Service.Generated() {
		return runtime.Checked{Objects: ownClaims(r.Namespace, r.Service)}, ctx.Err()
	}
	none.Partial = fresh
	if fresh { // its CRDs are cluster-scoped
		c, _, err := d.chartOf(ctx, r)
		if err != nil || !c.HasCRDs() {
			return none, err
		}
	}
	open := func() (*operation, error) { return d.open(ctx, r, emit) }
	if history, known := d.seen.history(r.Namespace, r.Service.Name); known {
		open = func() (*operation, error) { return d.openWith(ctx, r, history, emit) }
	}
	o, err := open()
	if err != nil {
		return none, err
	}
	defer o.close()
	if err := o.loadChart(ctx); err != nil {
		return none, err
	}
	// Warnings of the server are reported at the write.
	o.objects.requests = func() context.Context { return ctx }
	before, err := o.before()
	if err != nil {
		return none, err
	}
	if err := o.idle(); err != nil {
		return none, err
	}
	if err := o.checkCRDs(before); err != nil {
		return none, err
	}
	if fresh && before == nil {
		return none, nil
	}
	refused, has, err := o.refused(ctx, before)
	if of := (*runtime.ChartError)(nil); errors.As(err, &of) && len(of.Absent) > 0 {
		none.Partial = true // the deploy waits for the Secrets, and renders the chart again
		return none, nil
	}
	for _, w := range has.warnings {
		o.emit(w)
	}
	if len(refused) > 0 {
		err = &runtime.RefusedError{Release: r.Service.Name, Changes: refused}
	}
	return has.Checked, err
}

// before returns the revision that the operation replaces, or nil.
func (o *operation) before() (*release.Release, error) {
	last, exists := o.inForce()
	if !exists {
		return nil, nil
	}
	return o.records.full(last)
}

// refused returns what the cluster would reject of the release that follows
// before, or of the first one, and the checked release. An error means that the
// cluster could not be queried.
func (o *operation) refused(ctx context.Context, before *release.Release) (changes []runtime.RefusedChange, has contents, err error) {
	objects, hooks, err := o.rendered(ctx)
	if err != nil {
		return nil, has, lacking(o.use, ofChart(ctx, fmt.Errorf("render %s: %w", o.r.Service.Name, err)))
	}
	was := make(map[string]*resource.Info)
	if before != nil {
		infos, _ := o.objects.readable(before.Manifest)
		for _, info := range infos {
			was[objectID(info)] = info
			has.rule(info)
		}
	} else {
		has.crds(o.objects, o.chart)
	}
	for _, h := range hooks {
		has.add(o.objects.readable(h.Manifest))
	}
	adopts := o.adoptsRelease()
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs []error
	)
	var targets kube.ResourceList
	for _, m := range objects {
		infos, all := o.objects.readable(m.Content)
		has.add(infos, all)
		targets = append(targets, infos...)
	}
	o.objects.scalers.ofRelease(slices.Collect(maps.Values(was)), targets)
	has.warnings = o.setReplicas(targets) // before the dry runs, which keep the existing replicas
	for _, info := range targets {
		old := was[objectID(info)]
		if old != nil && !adopts && reflect.DeepEqual(old.Object, info.Object) {
			continue
		}
		wg.Go(func() {
			change, adopted, err := o.objects.dryRun(ctx, old, info)
			mu.Lock()
			defer mu.Unlock()
			if change != nil {
				changes = append(changes, *change)
			}
			if adopted != nil {
				has.Adopted = append(has.Adopted, *adopted)
			}
			errs = append(errs, err)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, has, context.Cause(ctx)
	}
	sortChanges(changes)
	slices.SortFunc(has.Adopted, func(a, b runtime.Adoption) int {
		return strings.Compare(a.ObjectKind+" "+a.Name, b.ObjectKind+" "+b.Name)
	})
	return changes, has, errors.Join(errs...)
}

// conflicts returns a RefusedError with the objects of the next revision that exist and
// cannot become part of the release, or nil.
func (o *operation) conflicts(ctx context.Context, before *release.Release) (*runtime.RefusedError, error) {
	refused, _, err := o.refused(ctx, before)
	refused = slices.DeleteFunc(refused, func(c runtime.RefusedChange) bool { return !c.Exists })
	if len(refused) == 0 {
		return nil, err
	}
	return &runtime.RefusedError{Release: o.r.Service.Name, Changes: refused}, nil
}

// asConflicts returns the conflicts instead of an error with which Helm did not start, if there
// are any: Helm reports objects of other owners only as text.
func (o *operation) asConflicts(err error) error {
	before, _ := o.before() // without it more objects are checked
	if conflicts, _ := o.conflicts(o.objects.requests(), before); conflicts != nil {
		return conflicts
	}
	return err
}

// readable returns the objects of a manifest, except those of kinds that the
// cluster does not know, which an earlier stage may install, and whether that
// is all of them.
func (o *objects) readable(text string) (known []*resource.Info, all bool) {
	all = true
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		list, err := o.read(strings.NewReader(doc))
		known, all = append(known, list...), all && err == nil
	}
	return known, all
}

// dryRun returns why the server would reject the object in info, or nil, and how the object
// would change if it is adopted. before is the object of that name in the last revision, or nil.
func (o *objects) dryRun(ctx context.Context, before, info *resource.Info) (*runtime.RefusedChange, *runtime.Adoption, error) {
	live, err := o.get(info)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, nil
	case apierrors.IsForbidden(err):
		change := o.refusal(info, nil, err)
		return &change, nil, nil
	case err != nil:
		return nil, nil, unanswered(err)
	case live.GetDeletionTimestamp() != nil:
		return nil, nil, nil
	}
	decided, err := o.decide(ctx, before, info, live)
	if err != nil || decided.ownership == foreign {
		return decided.refused, nil, unanswered(err)
	}
	if job := asJob(live); job != nil && jobStatus(job).failed != "" {
		return nil, nil, nil // it is recreated
	}
	target := info
	if object, ok := info.Object.(*unstructured.Unstructured); ok && decided.ownership == adoptable {
		// Helm marks what it adopts. Without its annotations the object may have none, and
		// those that others have set would seem to be removed with the map.
		copied := *info
		marked := object.DeepCopy()
		o.markOwned(marked)
		copied.Object, target = marked, &copied
	}
	patch, kind, err := o.patchTo(decided.base, target, live)
	if err != nil {
		return nil, nil, err
	}
	result := kruntime.Object(live)
	if string(patch) != "{}" {
		var refused *runtime.RefusedChange
		if result, refused, err = o.tryPatch(info, kind, patch); err != nil || refused != nil {
			return refused, nil, err
		}
	}
	if decided.ownership != adoptable || result == nil {
		return nil, nil, nil
	}
	a, err := adoption(info, decided.from, live, result)
	return nil, &a, err
}

// tryPatch returns the result of a patch, or why the server would reject it. Both are nil
// if the server did not say.
func (o *objects) tryPatch(info *resource.Info, kind types.PatchType, patch []byte) (kruntime.Object, *runtime.RefusedChange, error) {
	obj, err := o.send(info, kind, patch, &metav1.PatchOptions{
		FieldManager: fieldManager, FieldValidation: metav1.FieldValidationIgnore, DryRun: []string{metav1.DryRunAll},
	})
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || deniedByWebhook(err) {
		change := o.refusal(info, patch, err)
		return nil, &change, nil
	}
	if err != nil {
		return nil, nil, unanswered(err)
	}
	return obj, nil, nil
}

// deniedByWebhook reports whether err has a client error's code and no reason: the API
// server passes on the status of a webhook that denies a request, which usually has
// neither (it uses 400 then), while its own errors always have a reason. So does the
// error about a webhook that does not support dry runs.
func deniedByWebhook(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	s := status.Status()
	return s.Reason == metav1.StatusReasonUnknown && s.Code >= 400 && s.Code < 500
}

// unanswered keeps an error only if the server was unreachable. Other errors of
// a dry run need not occur at the write.
func unanswered(err error) error {
	if observe.Unreachable(err) {
		return err
	}
	return nil
}
