package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// await waits for the objects that were written: the workloads, and then the custom
// resources that report whether they are ready.
func (o *operation) await(ctx context.Context, targets []target) error {
	if err := o.d.await(ctx, targets, o.limit, o.emit); err != nil {
		return err
	}
	for _, info := range o.objects.customs() {
		if err := o.awaitCustom(ctx, info); err != nil {
			return err
		}
	}
	return nil
}

// awaitCustom waits until a CRD is served, or while a custom resource reports that it is not
// ready.
func (o *operation) awaitCustom(ctx context.Context, info *resource.Info) error {
	if isCRD(info) { // a later release may have objects of its kind
		return o.awaitKinds(ctx, kube.ResourceList{info})
	}
	why := customReady(info.Object)
	if why == "" {
		return nil
	}
	o.emit(runtime.WaitingFor{What: shortName(info) + ": " + why})
	limited, stop := context.WithTimeoutCause(ctx, max(time.Until(o.limit.end), leastTime), o.limit.err())
	defer stop()
	deleted := false
	err := o.objects.until(limited, info, func(u *unstructured.Unstructured) bool {
		if deleted = isGone(info, u); deleted {
			why = wasDeleted
			return true
		}
		why = customReady(u)
		return why == ""
	})
	switch {
	case deleted:
		err = fmt.Errorf("%s: %s", shortName(info), why)
	case err == nil || ctx.Err() != nil:
		return err
	default:
		err = fmt.Errorf("%w: %s: %s", err, shortName(info), why)
	}
	return &unready{err: err, blocked: []blocked{{target: target{kind: info.Mapping.GroupVersionKind.Kind, namespace: info.Namespace, name: info.Name}, why: shortName(info) + ": " + why}}}
}

// awaitKinds waits until the server serves the kinds that CRDs define, and lists them: it
// lists a kind a moment after it has established its CRD.
func (o *operation) awaitKinds(ctx context.Context, list kube.ResourceList) error {
	ctx, stop := context.WithDeadlineCause(ctx, o.limit.end, o.limit.err())
	defer stop()
	for _, info := range list {
		deleted := false
		var kind schema.GroupKind // a version of it is served
		err := o.objects.until(ctx, info, func(u *unstructured.Unstructured) bool {
			if deleted = isGone(info, u); deleted {
				return true
			}
			versions, _, _ := unstructured.NestedSlice(u.Object, "spec", "versions")
			if slices.ContainsFunc(versions, func(v any) bool { return v.(map[string]any)["served"] == true }) {
				kind.Group, _, _ = unstructured.NestedString(u.Object, "spec", "group")
				kind.Kind, _, _ = unstructured.NestedString(u.Object, "spec", "names", "kind")
			}
			return conditionOf(u, "Established")["status"] == "True"
		})
		switch {
		case deleted:
			err = errors.New(wasDeleted)
		case err == nil && kind.Kind != "":
			err = o.d.cluster.awaitListed(ctx, kind)
		}
		if err != nil {
			return fmt.Errorf("wait for the kind of %s: %w", shortName(info), err)
		}
	}
	return nil
}

// awaitForHooks waits for the objects of the release if it has hooks that run after the
// install or upgrade. Helm runs these hooks when everything is ready if it waits, and as
// soon as everything is written if it does not; charts rely on the former.
func (o *operation) awaitForHooks(ctx context.Context, list kube.ResourceList) error {
	if o.rel == nil { // Helm installs the CRDs before it starts with the release
		return o.awaitKinds(ctx, list)
	}
	after := release.HookPostInstall
	if o.rel.Info.Status == release.StatusPendingUpgrade {
		after = release.HookPostUpgrade
	}
	if !slices.ContainsFunc(o.rel.Hooks, func(h *release.Hook) bool { return slices.Contains(h.Events, after) }) {
		return nil
	}
	targets, err := o.targets(list)
	if err == nil {
		err = o.await(ctx, targets)
	}
	errors.As(err, &o.hook)
	o.waited = err == nil
	return err
}

// customs returns the custom resources and the CRDs that were written.
func (o *objects) customs() []*resource.Info {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*resource.Info
	for _, info := range o.written {
		if isCustom(info) || isCRD(info) {
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b *resource.Info) int {
		if objectID(a) < objectID(b) {
			return -1
		}
		return 1
	})
	return list
}

// warnOfServices warns about load balancers that do not have an address yet. They are not
// awaited: a cluster without addresses for them would never assign one.
func (o *operation) warnOfServices() {
	o.objects.mu.Lock()
	defer o.objects.mu.Unlock()
	for _, info := range o.objects.written {
		u, ok := info.Object.(*unstructured.Unstructured)
		if !ok || info.Mapping.GroupVersionKind.GroupKind().String() != "Service" {
			continue
		}
		var service corev1.Service
		if err := kruntime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &service); err != nil {
			continue
		}
		if service.Spec.Type == corev1.ServiceTypeLoadBalancer && len(service.Status.LoadBalancer.Ingress) == 0 {
			o.emit(runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: o.r.Service.Pos,
				Message: fmt.Sprintf("%s: service %s waits for a load balancer to give it an address", o.r.Service.Name, info.Name),
			}})
		}
	}
}

// isCustom reports whether an object is of a kind that only the server knows.
func isCustom(info *resource.Info) bool {
	return !scheme.Scheme.Recognizes(info.Mapping.GroupVersionKind)
}

// customReady returns why a custom resource is not ready, from its condition Ready. A
// resource without this condition is not awaited: it may never get it.
func customReady(obj kruntime.Object) (why string) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return ""
	}
	return notTrue(u, "Ready")
}

// notTrue returns why a condition of an object is not true, or "" if it is true or the
// object does not have it.
func notTrue(u *unstructured.Unstructured, kind string) string {
	c := conditionOf(u, kind)
	if c == nil || c["status"] == "True" {
		return ""
	}
	text, _ := c["message"].(string)
	name, _ := c["reason"].(string)
	return cmp.Or(observe.Reason(name, text), "it is not "+kind)
}

// conditionOf returns a condition of an object's status, or nil.
func conditionOf(u *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}
