package inspect

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A Live is the current state of one release in the cluster.
type Live struct {
	Deployed  *runtime.Deployed // nil: it has workloads, but no release
	Updated   time.Time         // when its last revision was created; zero without a release
	Workloads []Workload        // sorted by kind and name
	Pods      []LivePod         // sorted by name; without pods that have succeeded
}

// A Workload is a Deployment, a StatefulSet or a DaemonSet of a release.
type Workload struct {
	Kind, Name  string
	Want, Ready int
	Image       string // of its first container
	Settled     bool   // its controller has observed its last change, and all its pods are up to date
}

// A LivePod is a pod of a release.
type LivePod struct {
	Name     string
	Phase    string
	Ready    bool
	Image    string // of its first container
	Trouble  string // why it is not ready, such as "ImagePullBackOff: …"; empty: unknown or none
	Restarts int
	Since    time.Time // when it was created
}

// Live returns the state of the releases of an environment, including the releases in its own
// namespace that have no owner. For each of its namespaces it makes five requests, regardless
// of the number of services: for Helm's revisions, Deployments, StatefulSets, DaemonSets and
// pods. DaemonSets that may not be listed count as none: few environments have any. A
// namespace that does not exist has no releases.
func (ins *Inspector) Live(ctx context.Context, env *runtime.Environment) (map[runtime.Place]*Live, error) {
	namespaces := env.AllNamespaces()
	found := make([]map[string]*Live, len(namespaces))
	errs := make([]error, len(namespaces))
	var wg sync.WaitGroup
	for i, namespace := range namespaces {
		wg.Go(func() { found[i], errs[i] = ins.liveIn(ctx, env, namespace) })
	}
	wg.Wait()
	out := make(map[runtime.Place]*Live)
	for i, namespace := range namespaces {
		if errs[i] != nil {
			return nil, errs[i]
		}
		for name, is := range found[i] {
			out[runtime.Place{Namespace: namespace, Name: name}] = is
		}
	}
	return out, nil
}

// liveIn returns the state of the releases in one namespace.
func (ins *Inspector) liveIn(ctx context.Context, env *runtime.Environment, namespace string) (map[string]*Live, error) {
	var (
		revisions    *metav1.PartialObjectMetadataList
		deployments  *appsv1.DeploymentList
		statefulSets *appsv1.StatefulSetList
		daemonSets   *appsv1.DaemonSetList
		pods         *corev1.PodList
		errs         [5]error
		wg           sync.WaitGroup
	)
	wg.Go(func() {
		revisions, errs[0] = ins.cluster.SecretsMetadata(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,status!=superseded"})
	})
	wg.Go(func() {
		deployments, errs[1] = ins.cluster.Typed.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	})
	wg.Go(func() {
		statefulSets, errs[2] = ins.cluster.Typed.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
	})
	wg.Go(func() {
		daemonSets, errs[4] = ins.cluster.Typed.AppsV1().DaemonSets(namespace).List(ctx, metav1.ListOptions{})
		if apierrors.IsForbidden(errs[4]) {
			daemonSets, errs[4] = &appsv1.DaemonSetList{}, nil
		}
	})
	wg.Go(func() { pods, errs[3] = ins.cluster.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{}) })
	wg.Wait()
	for _, err := range errs {
		if err != nil { // the other errors are likely the same
			return nil, ins.cluster.Explain(ctx, err)
		}
	}
	live := livings{of: make(map[string]*Live), workloads: make(map[string]string)}
	live.last = live.revisions(revisions.Items)
	for i := range deployments.Items {
		live.deployment(&deployments.Items[i])
	}
	for i := range statefulSets.Items {
		live.statefulSet(&statefulSets.Items[i])
	}
	for i := range daemonSets.Items {
		live.daemonSet(&daemonSets.Items[i])
	}
	for i := range pods.Items {
		live.pod(&pods.Items[i])
	}
	owners, err := ins.cluster.OwnersOf(ctx, namespace, live.last)
	if err != nil {
		return nil, err
	}
	home := namespace == env.Key.Namespace()
	maps.DeleteFunc(live.of, func(name string, is *Live) bool {
		if is.Deployed != nil {
			is.Deployed.Owner = owners[name]
		}
		return is.Deployed == nil && !home || !isMember(env, namespace, name, owners[name])
	})
	for _, l := range live.of {
		slices.SortFunc(l.Workloads, func(a, b Workload) int { return strings.Compare(a.Kind+a.Name, b.Kind+b.Name) })
		slices.SortFunc(l.Pods, func(a, b LivePod) int { return strings.Compare(a.Name, b.Name) })
	}
	return live.of, nil
}

// livings groups the objects in the cluster by release.
type livings struct {
	of        map[string]*Live
	workloads map[string]string  // the release of a workload, by kind and name
	last      []observe.Revision // of each release, oldest first
}

func (l livings) release(name string) *Live {
	if l.of[name] == nil {
		l.of[name] = &Live{}
	}
	return l.of[name]
}

// revisions adds the last revision of each release, and returns all revisions.
func (l livings) revisions(metas []metav1.PartialObjectMetadata) (all []observe.Revision) {
	last := make(map[string]int)
	for i := range metas {
		r, ok := observe.NewRevision(&metas[i])
		if !ok {
			continue
		}
		if all = append(all, r); r.Version <= last[r.Release] {
			continue
		}
		last[r.Release] = r.Version
		is := l.release(r.Release)
		is.Deployed, is.Updated = nil, time.Time{}
		if r.Status != observe.StatusUninstalled { // of an uninstalled release, only the history is left
			deployed := r.Deployed()
			is.Deployed, is.Updated = &deployed, metas[i].CreationTimestamp.Time
		}
	}
	for name, is := range l.of {
		if is.Deployed == nil {
			delete(l.of, name)
		}
	}
	slices.SortFunc(all, func(a, b observe.Revision) int { return a.Version - b.Version })
	return all
}

func (l livings) deployment(w *appsv1.Deployment) {
	settled := w.Status.ObservedGeneration >= w.Generation && w.Status.Replicas == w.Status.UpdatedReplicas
	l.workload("Deployment", &w.ObjectMeta, &w.Spec.Template, w.Spec.Replicas, w.Status.AvailableReplicas, settled)
}

func (l livings) statefulSet(w *appsv1.StatefulSet) {
	settled := w.Status.ObservedGeneration >= w.Generation && w.Status.CurrentRevision == w.Status.UpdateRevision
	l.workload("StatefulSet", &w.ObjectMeta, &w.Spec.Template, w.Spec.Replicas, w.Status.ReadyReplicas, settled)
}

func (l livings) daemonSet(w *appsv1.DaemonSet) {
	status := w.Status
	settled := status.ObservedGeneration >= w.Generation &&
		(w.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType || status.UpdatedNumberScheduled >= status.DesiredNumberScheduled)
	l.workload("DaemonSet", &w.ObjectMeta, &w.Spec.Template, &status.DesiredNumberScheduled, status.NumberAvailable, settled)
}

func (l livings) workload(kind string, m *metav1.ObjectMeta, pods *corev1.PodTemplateSpec, want *int32, ready int32, settled bool) {
	of := m.Annotations[observe.AnnotationRelease]
	if of == "" {
		return
	}
	l.workloads[kind+" "+m.Name] = of
	w := Workload{Kind: kind, Name: m.Name, Want: int(observe.Replicas(want)), Ready: int(ready), Settled: settled}
	if len(pods.Spec.Containers) > 0 {
		w.Image = pods.Spec.Containers[0].Image
	}
	is := l.release(of)
	is.Workloads = append(is.Workloads, w)
}

func (l livings) pod(p *corev1.Pod) {
	of := l.workloads[podOwner(p)]
	if of == "" {
		of = p.Labels[observe.LabelInstance]
	}
	if of == "" || p.Status.Phase == corev1.PodSucceeded {
		return
	}
	pod := LivePod{Name: p.Name, Phase: string(p.Status.Phase), Ready: observe.PodReady(p), Since: p.CreationTimestamp.Time}
	if p.DeletionTimestamp != nil {
		pod.Phase = "Terminating"
	} else if t := observe.PodTrouble(p); t != nil {
		pod.Trouble = t.What
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		pod.Restarts += int(s.RestartCount)
	}
	if len(p.Spec.Containers) > 0 {
		pod.Image = p.Spec.Containers[0].Image
	}
	is := l.release(of)
	is.Pods = append(is.Pods, pod)
}

// podOwner returns the kind and name of the workload that a pod belongs to, according to the
// pod itself.
func podOwner(p *corev1.Pod) string {
	owner := metav1.GetControllerOfNoCopy(p)
	switch {
	case owner == nil:
		return ""
	case owner.Kind == "ReplicaSet":
		hash := p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
		return "Deployment " + strings.TrimSuffix(owner.Name, "-"+hash)
	}
	return owner.Kind + " " + owner.Name
}
