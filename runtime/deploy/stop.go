package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

const (
	// annotationReplicas records how many replicas a stopped workload had, and
	// annotationSuspend whether a CronJob was suspended.
	annotationReplicas = "pipelinefile.github.io/replicas"
	annotationSuspend  = "pipelinefile.github.io/suspend"
	// labelStopped is in the nodeSelector of a stopped DaemonSet: no node has it.
	labelStopped = "pipelinefile.github.io/stopped"
	// annotationRestarted is what "kubectl rollout restart" sets.
	annotationRestarted = "kubectl.kubernetes.io/restartedAt"
)

// stop scales Deployments and StatefulSets to zero, lets the pods of DaemonSets run on no
// node, and suspends CronJobs. A deploy restores them.
func (d *Deployer) stop(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	o, list, err := d.openDeployed(ctx, r, emit)
	if err != nil {
		return err
	}
	defer o.close()
	// The label comes first, so that a deploy also undoes a stop that was interrupted.
	if err := o.setLabels(map[string]any{observe.LabelReady: observe.Stopping + strconv.Itoa(o.rel.Version)}); err != nil {
		return d.explain(ctx, err)
	}
	err = o.patchWorkloads(list, func(u *unstructured.Unstructured) map[string]any {
		switch u.GetKind() {
		case "Deployment", "StatefulSet":
			n, found, err := unstructured.NestedInt64(u.Object, "spec", "replicas")
			if !found || err != nil {
				n = 1
			}
			if n > 0 {
				return patchOf(map[string]any{annotationReplicas: strconv.FormatInt(n, 10)}, map[string]any{"replicas": 0})
			}
		case "DaemonSet":
			if !isStopped(u) {
				return onNodes("true")
			}
		case "CronJob":
			if is, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); !is {
				return patchOf(map[string]any{annotationSuspend: "false"}, map[string]any{"suspend": true})
			}
		}
		return nil
	})
	if err != nil {
		return d.explain(ctx, err)
	}
	if err := o.awaitPatched(ctx, list, true); err != nil {
		return err
	}
	return d.explain(ctx, o.setLabels(map[string]any{observe.LabelReady: observe.Stopped + strconv.Itoa(o.rel.Version)}))
}

// start undoes a stop. If the release is not stopped, start only waits for it.
func (d *Deployer) start(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	o, list, err := d.openDeployed(ctx, r, emit)
	if err != nil {
		return err
	}
	defer o.close()
	if err := o.start(list); err != nil {
		return d.explain(ctx, err)
	}
	if err := o.awaitPatched(ctx, list, false); err != nil {
		return err
	}
	// Only a deployed revision that pipe wrote is marked as ready: others were not marked
	// before the stop either.
	var ready any
	if last, _ := o.last(); statusOf(last) == release.StatusDeployed && last.Fingerprint() != "" {
		ready = strconv.Itoa(last.Version)
	}
	return d.explain(ctx, o.setLabels(map[string]any{observe.LabelReady: ready}))
}

// start undoes the changes of a stop.
func (o *operation) start(list kube.ResourceList) error {
	return o.patchWorkloads(list, func(u *unstructured.Unstructured) map[string]any {
		if n, err := strconv.ParseInt(u.GetAnnotations()[annotationReplicas], 10, 32); err == nil {
			return patchOf(map[string]any{annotationReplicas: nil}, map[string]any{"replicas": n})
		}
		if _, ok := u.GetAnnotations()[annotationSuspend]; ok {
			return patchOf(map[string]any{annotationSuspend: nil}, map[string]any{"suspend": false})
		}
		if isStopped(u) {
			return onNodes(nil)
		}
		return nil
	})
}

// isStopped reports whether a stop keeps the pods of a DaemonSet from all nodes.
func isStopped(u *unstructured.Unstructured) bool {
	_, is, _ := unstructured.NestedString(u.Object, "spec", "template", "spec", "nodeSelector", labelStopped)
	return is && u.GetKind() == "DaemonSet"
}

// onNodes returns a patch that selects nodes with that value of the label, or with nil all.
func onNodes(value any) map[string]any {
	return map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"nodeSelector": map[string]any{labelStopped: value}}}}}
}

// revive makes a write of target undo a stop of now: it restores replicas and suspend
// where target does not set them, and the annotations of the stop are removed. To remove
// them, it returns was with these annotations, which target does not have.
func revive(was, target kruntime.Object, now *unstructured.Unstructured) kruntime.Object {
	want, ok := target.(*unstructured.Unstructured)
	if !ok {
		return was
	}
	notes := map[string]string{}
	if text, ok := now.GetAnnotations()[annotationReplicas]; ok {
		notes[annotationReplicas] = text
		if _, set, _ := unstructured.NestedFieldNoCopy(want.Object, "spec", "replicas"); !set {
			if n, err := strconv.ParseInt(text, 10, 32); err == nil {
				_ = unstructured.SetNestedField(want.Object, n, "spec", "replicas")
			}
		}
	}
	if text, ok := now.GetAnnotations()[annotationSuspend]; ok {
		notes[annotationSuspend] = text
		if _, set, _ := unstructured.NestedFieldNoCopy(want.Object, "spec", "suspend"); !set {
			_ = unstructured.SetNestedField(want.Object, false, "spec", "suspend")
		}
	}
	old, ok := was.(*unstructured.Unstructured)
	if len(notes) == 0 && !isStopped(now) || !ok {
		return was
	}
	old = old.DeepCopy()
	if isStopped(now) {
		_ = unstructured.SetNestedField(old.Object, "true", "spec", "template", "spec", "nodeSelector", labelStopped)
	}
	if len(notes) == 0 {
		return old
	}
	maps.Copy(notes, old.GetAnnotations())
	old.SetAnnotations(notes)
	return old
}

// restart does what "kubectl rollout restart" does.
func (d *Deployer) restart(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	o, list, err := d.openDeployed(ctx, r, emit)
	if err != nil {
		return err
	}
	defer o.close()
	last, _ := o.last()
	if last.Ready() { // until the pods are ready again, a deploy has work to do
		if err := o.setLabels(map[string]any{observe.LabelReady: nil}); err != nil {
			return d.explain(ctx, err)
		}
	}
	now := time.Now().Format(time.RFC3339Nano)
	err = o.patchWorkloads(list, func(u *unstructured.Unstructured) map[string]any {
		switch u.GetKind() {
		case "Deployment", "StatefulSet", "DaemonSet":
			return map[string]any{"spec": map[string]any{"template": patchOf(map[string]any{annotationRestarted: now}, nil)}}
		}
		return nil
	})
	if err != nil {
		return d.explain(ctx, err)
	}
	if err := o.awaitPatched(ctx, list, false); err != nil {
		return err
	}
	if !last.Ready() {
		return nil
	}
	return d.explain(ctx, o.setLabels(map[string]any{observe.LabelReady: strconv.Itoa(last.Version)}))
}

// uninstall deletes a release. It keeps objects that are marked to be kept, volumes, and
// the credentials of databases, which do not belong to a release (D6).
func (d *Deployer) uninstall(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	o, err := d.open(ctx, r, emit)
	if err != nil {
		return err
	}
	defer o.close()
	if _, exists := o.last(); !exists {
		return nil
	}
	err = o.uninstall(ctx)
	var stuck *unready
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &stuck):
		return o.failure(ctx, stuck)
	}
	return d.explain(ctx, err)
}

func (o *operation) uninstall(ctx context.Context) error {
	if err := o.labelVolumes(); err != nil {
		return err
	}
	config, err := o.helm(ctx)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(config)
	uninstall.Timeout = o.timeout
	if _, err = uninstall.Run(o.r.Service.Name); err != nil && o.hook != nil {
		return o.hook
	}
	return err
}

// openDeployed begins an operation on the last revision of a release, and returns its
// objects.
func (d *Deployer) openDeployed(ctx context.Context, r runtime.Release, emit runtime.Emit) (*operation, kube.ResourceList, error) {
	o, err := d.open(ctx, r, emit)
	if err != nil {
		return nil, nil, err
	}
	last, exists := o.last()
	if !exists || statusOf(last) == release.StatusUninstalled {
		o.close()
		return nil, nil, fmt.Errorf("release %s in namespace %s: %w", r.Service.Name, r.Namespace, runtime.ErrNotFound)
	}
	var list kube.ResourceList
	if o.rel, err = o.records.full(last); err == nil {
		list, err = o.manifest(o.rel)
	}
	if err != nil {
		o.close()
	}
	return o, list, d.explain(ctx, err)
}

// patchWorkloads patches the workloads and CronJobs for which patch does not return nil. Objects
// that were deleted are skipped.
func (o *operation) patchWorkloads(list kube.ResourceList, patch func(*unstructured.Unstructured) map[string]any) error {
	return o.objects.each(list, func(info *resource.Info) error {
		if workloadKind(info) == "" && info.Mapping.GroupVersionKind.Kind != "CronJob" {
			return nil
		}
		obj, err := o.objects.get(info)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", shortName(info), err)
		}
		o.objects.wrote(info, obj)
		change := patch(obj)
		if change == nil {
			return nil
		}
		data, err := json.Marshal(change)
		if err != nil {
			return err
		}
		changed, err := o.objects.patch(info, types.MergePatchType, data)
		if err != nil {
			return err
		}
		o.objects.wrote(info, changed)
		return nil
	})
}

// awaitPatched waits for workloads after they were patched, but not for jobs and pods: how they
// ended earlier does not matter now. With mayGo, a workload that is deleted meanwhile
// counts as ready.
func (o *operation) awaitPatched(ctx context.Context, list kube.ResourceList, mayGo bool) error {
	var targets []target
	for _, info := range list {
		if kind := workloadKind(info); kind == "" || kind == "Job" || kind == "Pod" || o.objects.asWritten(info) == nil {
			continue
		}
		more, err := o.targets(kube.ResourceList{info})
		if err != nil {
			return err
		}
		targets = append(targets, more...)
	}
	for i := range targets {
		targets[i].mayGo = mayGo
	}
	err := o.await(ctx, targets)
	var stuck *unready
	switch {
	case ctx.Err() != nil && err != nil:
		return context.Cause(ctx)
	case errors.As(err, &stuck):
		return o.failure(ctx, stuck)
	}
	return o.d.explain(ctx, err)
}

// patchOf returns a merge patch of annotations and of the spec.
func patchOf(annotations, spec map[string]any) map[string]any {
	patch := map[string]any{"metadata": map[string]any{"annotations": annotations}}
	if spec != nil {
		patch["spec"] = spec
	}
	return patch
}
