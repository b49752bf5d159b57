package deploy

import (
	"context"
	"fmt"
	"slices"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// write makes Helm write the release and returns the workloads that must become ready.
func (o *operation) write(ctx context.Context) ([]target, error) {
	if err := o.free(ctx); err != nil {
		return nil, err
	}
	config, err := o.helm(ctx)
	if err != nil {
		return nil, err
	}
	labels, err := o.labels()
	if err != nil {
		return nil, err
	}
	last, exists := o.last()
	// If a deploy is requested although nothing has changed, jobs must run again.
	o.rerun = rerunFailed
	if exists && last.Fingerprint() == o.fingerprint && last.Ready() {
		o.rerun = rerunEnded
	}
	copied, err := o.chart.Copy()
	if err != nil {
		return nil, err
	}
	values := o.chart.Whole(o.use)
	if err := o.chart.Validate(values); err != nil {
		return nil, ofChart(ctx, err)
	}
	apart := o.r.Service.Chart != nil || o.r.Service.MirrorImages // Helm does not render it
	if !exists || statusOf(last) == release.StatusUninstalled {
		o.objects.install = true
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace = o.r.Service.Name, o.r.Namespace
		install.Labels = labels
		install.Timeout = o.timeout
		install.Wait, install.WaitForJobs = true, true // see awaitForHooks
		install.DisableOpenAPIValidation = true
		install.Replace = exists
		install.TakeOwnership = o.objects.adopter != nil
		install.SkipSchemaValidation = true // the renderer or Validate has done it
		if apart {
			o.renderApart(ctx, config, copied)
		}
		_, err = install.Run(copied, values)
		o.objects.install = false
	} else {
		if o.leftover, err = o.untracked(); err != nil {
			return nil, err
		}
		upgrade := action.NewUpgrade(config)
		upgrade.Namespace = o.r.Namespace
		upgrade.Labels = labels
		upgrade.Timeout = o.timeout
		upgrade.Wait, upgrade.WaitForJobs = true, true
		upgrade.DisableOpenAPIValidation = true
		upgrade.ResetValues = true // otherwise Helm would use the last values if there are none
		upgrade.MaxHistory = o.d.opts.HistoryMax
		upgrade.TakeOwnership = o.objects.adopter != nil
		upgrade.SkipSchemaValidation = true // the renderer or Validate has done it
		if apart {
			o.renderApart(ctx, config, copied)
		}
		_, err = upgrade.Run(o.r.Service.Name, copied, values)
	}
	switch {
	case err != nil && o.hook != nil:
		return nil, o.hook
	case err != nil && o.begun:
		return nil, &unready{err: err}
	case err != nil:
		return nil, o.asConflicts(ofChart(ctx, err))
	}
	list, err := o.manifest(o.rel)
	if err != nil {
		return nil, err
	}
	return o.targets(list)
}

// untracked returns the objects of the revisions that failed after the deployed one, which
// Helm compares with. Helm ignores the failed ones, so objects that only they have would
// never be deleted.
func (o *operation) untracked() (kube.ResourceList, error) {
	history := o.records.history
	from := slices.IndexFunc(history, func(r observe.Revision) bool { return statusOf(r) == release.StatusDeployed })
	if from < 0 {
		return nil, nil // Helm compares with the last revision
	}
	var list kube.ResourceList
	for _, r := range history[from+1:] {
		if statusOf(r) != release.StatusFailed {
			continue
		}
		rel, err := o.records.full(r)
		if err != nil {
			return nil, err
		}
		objects, err := o.manifest(rel)
		if err != nil {
			return nil, err
		}
		for _, info := range objects {
			if !list.Contains(info) {
				list = append(list, info)
			}
		}
	}
	return list, nil
}

// resume returns the workloads that must become ready of a release that was written, but
// whose wait was not completed. It returns false if the release must be written (again).
func (o *operation) resume() ([]target, bool, error) {
	last, exists := o.last()
	if !exists || statusOf(last) != release.StatusDeployed || last.Fingerprint() != o.fingerprint || last.Ready() {
		return nil, false, nil
	}
	rel, err := o.records.full(last)
	if err != nil {
		return nil, false, err
	}
	list, err := o.manifest(rel)
	if err != nil {
		return nil, false, err
	}
	for _, info := range list {
		obj, err := o.objects.get(info)
		if apierrors.IsNotFound(err) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("look at %s: %w", shortName(info), err)
		}
		if job := asJob(obj); job != nil && jobStatus(job).failed != "" {
			return nil, false, nil
		}
		o.objects.wrote(info, obj)
	}
	if last.IsStopped() {
		if err := o.start(list); err != nil {
			return nil, false, err
		}
	}
	o.rel = rel
	targets, err := o.targets(list)
	return targets, true, err
}

// targets returns the objects of a release that must become ready, in the versions that
// were written.
func (o *operation) targets(list kube.ResourceList) ([]target, error) {
	var targets []target
	for _, info := range list {
		kind := workloadKind(info)
		if kind == "" {
			continue
		}
		written := o.objects.asWritten(info)
		if written == nil {
			return nil, fmt.Errorf("%s is in the release, but was not written", shortName(info))
		}
		m, err := meta.Accessor(written.Object)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target{
			kind: kind, namespace: info.Namespace, name: info.Name, uid: m.GetUID(), generation: m.GetGeneration(),
		})
	}
	return targets, nil
}

// workloadKind returns the kind of an object that runs pods, or "".
func workloadKind(info *resource.Info) string {
	switch gvk := info.Mapping.GroupVersionKind; gvk.Group + "/" + gvk.Kind {
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job", "/Pod":
		return gvk.Kind
	}
	return ""
}

// asJob returns obj as a job, or nil if it is not a job.
func asJob(obj kruntime.Object) *batchv1.Job {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || u.GetKind() != "Job" || u.GroupVersionKind().Group != batchv1.GroupName {
		return nil
	}
	var job batchv1.Job
	if err := kruntime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &job); err != nil {
		return nil
	}
	return &job
}
