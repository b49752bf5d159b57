package buildkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

const (
	// interval is how often the state of pods is read while they are waited for.
	interval = time.Second
	// stuck is how long the states of builders that are not draining may stay the same before Up
	// gives up.
	stuck = 5 * time.Minute
	// refused is how long there may be no pods at all. The cluster creates them immediately, unless something such as a
	// quota or the pod security standard of the namespace refuses them.
	refused = 30 * time.Second
	// settle is how long a trouble that counts as final must last. The kubelet restarts a program that has
	// ended for the first time in a while within this time.
	settle = 5 * time.Second
	// logTime limits the request for the log of a builder that has failed.
	logTime = 10 * time.Second
)

// await waits until all builders are ready and as their StatefulSet says.
func (f *Farm) await(ctx context.Context, report func(string)) error {
	var last string
	changed := time.Now()
	seen := watch{}
	looked := false // whether pods that had crashed before are replaced
	for {
		set, err := f.set(ctx)
		if err == nil && rolledOut(set) {
			return nil
		}
		var pods []corev1.Pod
		if err == nil {
			pods, err = f.pods(ctx)
		}
		if err == nil && !looked && observed(set) {
			looked = true
			err = f.replaceCrashed(ctx, set, pods)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		builders := buildersOf(pods)
		if text := waiting(set, builders); text != last || slices.ContainsFunc(builders, func(b Builder) bool { return b.State == draining }) {
			if text != last {
				report(text)
			}
			last, changed = text, time.Now()
		}
		failed := seen.failed(set, pods, time.Now())
		none := len(pods) == 0 && observed(set)
		if failed != nil || time.Since(changed) > stuck || none && time.Since(changed) > refused {
			return f.notReady(ctx, set, pods, failed)
		}
		if err := retry.Pause(ctx, interval); err != nil {
			return err
		}
	}
}

// rolledOut reports whether all pods of a StatefulSet are ready and of its last revision.
func rolledOut(set *appsv1.StatefulSet) bool {
	s := set.Status
	return observed(set) && s.UpdatedReplicas == *set.Spec.Replicas && s.ReadyReplicas == *set.Spec.Replicas &&
		s.Replicas == *set.Spec.Replicas
}

// observed reports whether the status of a StatefulSet is that of what was written last.
func observed(set *appsv1.StatefulSet) bool { return set.Status.ObservedGeneration >= set.Generation }

// leaves reports whether a pod of set is being deleted, or replaced as one of an earlier revision.
func leaves(set *appsv1.StatefulSet, p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil || p.Labels[appsv1.StatefulSetRevisionLabel] != set.Status.UpdateRevision
}

// waiting says which builders are waited for.
func waiting(set *appsv1.StatefulSet, builders []Builder) string {
	text := fmt.Sprintf("%d of %d builders are ready", set.Status.ReadyReplicas, *set.Spec.Replicas)
	for _, b := range builders {
		if !b.Ready {
			text += fmt.Sprintf("; %s: %s", b.Name, b.State)
		}
	}
	return text
}

// A watch remembers the troubles of pods, by their UIDs.
type watch map[types.UID]*sighting

type sighting struct {
	restarts int // when the pod was seen first
	class    string
	since    time.Time // when a trouble of the class was seen first
}

// failed returns a pod that cannot become ready, or nil. A crash from before the watch counts only if it happens again: its reason may have been removed.
func (w watch) failed(set *appsv1.StatefulSet, pods []corev1.Pod, now time.Time) *corev1.Pod {
	if !observed(set) {
		return nil
	}
	for i := range pods {
		p := &pods[i]
		s := w[p.UID]
		if s == nil {
			s = &sighting{restarts: restarts(p)}
			w[p.UID] = s
		}
		t := observe.PodTrouble(p)
		if t == nil || t.Hopeful || t.Class == observe.ClassCrash && restarts(p) <= s.restarts || leaves(set, p) {
			s.class = ""
			continue
		}
		if s.class != t.Class {
			s.class, s.since = t.Class, now
		}
		if now.Sub(s.since) >= max(t.Patience, settle) {
			return p
		}
	}
	return nil
}

// notReady returns the error that builders are not ready, with the last lines of the log of the one that
// has failed, or of the first one whose log may explain it. They are left out if they cannot be read.
func (f *Farm) notReady(ctx context.Context, set *appsv1.StatefulSet, pods []corev1.Pod, failed *corev1.Pod) error {
	e := &NotReadyError{Namespace: f.namespace, Builders: buildersOf(pods)}
	if o, err := recorded(set); err == nil {
		e.Rootless = o.Rootless
	}
	for i := range pods {
		if failed == nil && observe.PodTrouble(&pods[i]) != nil {
			failed = &pods[i]
		}
	}
	if failed == nil {
		return e
	}
	e.Cause = observe.PodCause(failed)
	t := observe.PodTrouble(failed)
	if t == nil || t.Log == "" {
		return e
	}
	ctx, stop := context.WithTimeout(ctx, logTime)
	defer stop()
	e.Ended = &Ended{Builder: failed.Name, Restarted: restarts(failed) > 0}
	lines, _ := observe.LastLines(ctx, f.client, failed, t.Log)
	for _, line := range lines {
		e.Ended.Lines = append(e.Ended.Lines, strings.Map(printable, line))
	}
	return e
}

// printable drops what would control a terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}
