package deploy

import (
	"fmt"
	"slices"

	"helm.sh/helm/v3/pkg/kube"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A scaler is an autoscaler: which object it scales, and to how many replicas at least.
type scaler struct {
	name   string
	of     schema.GroupKind
	target string
	least  int64
	owned  bool // another object creates it, such as a ScaledObject of KEDA, which scales to zero by itself
}

// scalers are the autoscalers of the release that is written and those of its namespace.
type scalers struct {
	release []scaler // in the new revision
	leaving []string // names of those that the new revision no longer contains
	live    []scaler
	listed  bool
}

const scalerKind = "HorizontalPodAutoscaler"

// ofRelease records the autoscalers of a revision that replaces another one.
func (s *scalers) ofRelease(original, target kube.ResourceList) {
	s.release, s.leaving = nil, nil
	for _, info := range target {
		u, ok := info.Object.(*unstructured.Unstructured)
		if !ok || info.Mapping.GroupVersionKind.Kind != scalerKind {
			continue
		}
		var h autoscalingv2.HorizontalPodAutoscaler // scaleTargetRef and minReplicas are the same in all versions
		if kruntime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &h) == nil {
			s.release = append(s.release, scalerOf(&h))
		}
	}
	for _, info := range original.Difference(target) {
		if info.Mapping.GroupVersionKind.Kind == scalerKind {
			s.leaving = append(s.leaving, info.Name)
		}
	}
}

func scalerOf(h *autoscalingv2.HorizontalPodAutoscaler) scaler {
	ref := h.Spec.ScaleTargetRef
	group, _ := schema.ParseGroupVersion(ref.APIVersion) // an invalid one matches nothing
	s := scaler{name: h.Name, of: schema.GroupKind{Group: group.Group, Kind: ref.Kind}, target: ref.Name, least: 1, owned: metav1.GetControllerOf(h) != nil}
	if h.Spec.MinReplicas != nil {
		s.least = int64(*h.Spec.MinReplicas)
	}
	return s
}

// scaledBy returns the autoscaler of an object, or nil. Those of the namespace are listed
// once; without the permission for it, only those of the release count.
func (o *objects) scaledBy(info *resource.Info) (*scaler, error) {
	is := func(s scaler) bool {
		return s.of == info.Mapping.GroupVersionKind.GroupKind() && s.target == info.Name
	}
	o.scaling.Lock()
	defer o.scaling.Unlock()
	if i := slices.IndexFunc(o.scalers.release, is); i >= 0 {
		return &o.scalers.release[i], nil
	}
	if !o.scalers.listed {
		list, err := o.Typed.AutoscalingV2().HorizontalPodAutoscalers(o.namespace).List(o.requests(), metav1.ListOptions{})
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("look for an autoscaler of %s: %w", shortName(info), err)
		}
		if err == nil {
			for i := range list.Items {
				o.scalers.live = append(o.scalers.live, scalerOf(&list.Items[i]))
			}
		}
		o.scalers.listed = true
	}
	i := slices.IndexFunc(o.scalers.live, func(s scaler) bool { return is(s) && !slices.Contains(o.scalers.leaving, s.name) })
	if i < 0 {
		return nil, nil
	}
	return &o.scalers.live[i], nil
}

// keepScale makes a write of info keep the replicas of now if an autoscaler scales it,
// also if target sets them, and if before sets them and target no longer does. For a
// stopped object, these are the replicas that it had before (see revive).
func (o *objects) keepScale(before, info *resource.Info, now *unstructured.Unstructured) error {
	want, ok := info.Object.(*unstructured.Unstructured)
	if !ok || info.Namespace != o.namespace {
		return nil
	}
	has, scales, err := unstructured.NestedInt64(now.Object, "spec", "replicas")
	if !scales || err != nil {
		return nil // its kind has no replicas
	}
	wanted, sets := replicasOf(want)
	_, stopped := now.GetAnnotations()[annotationReplicas]
	if sets && wanted == has && !stopped {
		return nil
	}
	if _, did := replicasOf(beforeOf(before)); !sets && !did && !stopped && has != 0 {
		return nil // the write does not change them
	}
	by, err := o.scaledBy(info)
	if by == nil || err != nil {
		return err
	}
	switch {
	case stopped:
		unstructured.RemoveNestedField(want.Object, "spec", "replicas")
		return nil
	case has == 0 && !by.owned && sets:
		return nil // an autoscaler does not begin at zero
	case has == 0 && !by.owned:
		has = max(1, by.least)
	}
	return unstructured.SetNestedField(want.Object, has, "spec", "replicas")
}

func beforeOf(info *resource.Info) *unstructured.Unstructured {
	if info == nil {
		return nil
	}
	u, _ := info.Object.(*unstructured.Unstructured)
	return u
}

// replicasOf returns the replicas that an object sets, and whether it sets them.
func replicasOf(u *unstructured.Unstructured) (int64, bool) {
	if u == nil {
		return 0, false
	}
	v, found, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "replicas")
	switch n := v.(type) {
	case int64:
		return n, found
	case float64:
		return int64(n), found
	}
	return 0, false
}

// setReplicas returns warnings about objects of a chart that set the replicas which an
// autoscaler of the same chart changes.
func (o *operation) setReplicas(list kube.ResourceList) (warnings []runtime.Warned) {
	for _, s := range o.objects.scalers.release {
		for _, info := range list {
			u, ok := info.Object.(*unstructured.Unstructured)
			n, sets := replicasOf(u)
			if !ok || !sets || s.of != info.Mapping.GroupVersionKind.GroupKind() || s.target != info.Name {
				continue
			}
			pos := o.r.Service.Pos
			if o.r.Service.Chart != nil {
				pos = o.r.Service.Chart.Pos
			}
			warnings = append(warnings, runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: pos,
				Message: fmt.Sprintf("%s: its chart sets %d replicas of %s, which its autoscaler %s changes: a deploy keeps those that there are", o.r.Service.Name, n, shortName(info), s.name),
				Hint:    "leave them out with values =, if the chart can: they count only for the first deploy, and for those who deploy it with Helm",
			}})
		}
	}
	return warnings
}
