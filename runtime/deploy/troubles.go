package deploy

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// unstick deletes the pods of a StatefulSet that belong to an earlier revision
// and cannot become ready. The controller replaces pods in order and waits for
// each to be ready, so a pod of a failed revision blocks it forever, even if a
// good revision follows (kubernetes/kubernetes#67250).
func (w *wait) unstick(v *observe.Cache, s workloadStatus) {
	for _, p := range observe.Owned[corev1.Pod](v, "Pod", s.owner) {
		if s.newest(p) || observe.PodReady(p) || observe.PodTrouble(p) == nil || p.DeletionTimestamp != nil || w.removed[p.UID] {
			continue
		}
		w.removed[p.UID] = true
		w.remove(p)
	}
}

// A found is a trouble and where it was found.
type found struct {
	observe.Trouble
	key    string // of since
	where  string // such as "pod api-1"; empty: the workload itself
	final  bool   // it has lasted too long
	claims []runtime.UnboundClaim
}

// text formats a trouble to follow the state of a workload.
func (f found) text() string {
	switch {
	case f.What == "":
		return ""
	case f.where == "":
		return " (" + f.What + ")"
	}
	return " (" + f.where + ": " + f.What + ")"
}

// troublesOf returns everything that keeps a workload from becoming ready.
func (w *wait) troublesOf(v *observe.Cache, s workloadStatus, pods []*corev1.Pod) []found {
	var all []found
	for _, p := range pods {
		t := observe.PodTrouble(p)
		if t == nil || observe.PodReady(p) {
			continue
		}
		f := found{Trouble: *t, key: string(p.UID) + t.Class, where: "pod " + p.Name}
		if t.Class == observe.ClassPlace {
			if open, final := w.unbound(v, p); len(open) > 0 {
				f.What, f.Hopeful, f.claims = unboundText(open), !final, open
			}
		}
		all = append(all, f)
	}
	if t := createTrouble(v, s, pods); t != nil {
		all = append(all, found{Trouble: *t, key: string(s.owner) + t.Class})
	}
	return all
}

// worst returns the most significant trouble: one that is final, or may become
// final. It records since when each has existed; left is when the next one
// becomes final.
func (w *wait) worst(all []found, was map[string]time.Time, now time.Time) (worst found, left time.Duration) {
	rank := func(f found) int {
		switch {
		case f.final:
			return 3
		case !f.Hopeful && f.What != "":
			return 2
		case f.What != "":
			return 1
		}
		return 0
	}
	for _, f := range all {
		first, ok := was[f.key]
		if !ok {
			first = now
		}
		w.since[f.key] = first
		rest := f.Patience - now.Sub(first)
		f.final = !f.Hopeful && rest <= 0
		if !f.Hopeful && rest > 0 && (left == 0 || rest < left) {
			left = rest
		}
		if rank(f) > rank(worst) {
			worst = f
		}
	}
	return worst, left
}

// createTrouble returns why the pods of a workload cannot be created, or nil.
// ReplicaSets report it in a condition. Other controllers report it only in
// events, which outlive the problem, so these count only while there is no pod.
func createTrouble(v *observe.Cache, s workloadStatus, pods []*corev1.Pod) *observe.Trouble {
	if s.creating != nil || len(pods) > 0 || s.owner == "" {
		return s.creating
	}
	events := observe.Owned[corev1.Event](v, observe.FailedCreate, s.owner)
	if len(events) == 0 {
		return nil
	}
	last := slices.MaxFunc(events, func(a, b *corev1.Event) int { return observe.EventTime(a).Compare(observe.EventTime(b)) })
	return &observe.Trouble{Class: "create", Cause: notMade(last.Message), What: observe.Reason(last.Reason, last.Message), Patience: createPatience}
}

// notMade returns why pods cannot be created, from the server's answer to their
// controller.
func notMade(message string) runtime.ReleaseCause {
	if cause, _ := observe.Forbidden(message); cause != runtime.CauseRights {
		return cause
	}
	return runtime.CauseObject // the controller lacks a permission
}
