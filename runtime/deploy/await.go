package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// reportEvery is the interval at which the workloads still waited for are
// reported.
const reportEvery = 10 * time.Second

// leastTime is the minimum time of a wait, so that its watches can show what is
// already ready even if the writes before it used up the whole time limit.
const leastTime = time.Second

// A wait waits for the workloads of one release.
type wait struct {
	targets []target
	caches  map[string]*observe.Cache // by namespace
	since   map[string]time.Time      // when each current trouble was first seen
	pods    map[types.UID]runtime.PodChanged
	emit    runtime.Emit
	exists  func(target) bool // asks the server
	watch   func(namespace string, kinds ...string)
	class   func(name string) (*storagev1.StorageClass, error) // asks the server
	classes map[string]lookedAt
	// remove deletes a pod, so that its controller recreates it.
	remove  func(*corev1.Pod)
	removed map[types.UID]bool
}

// A blocked is a workload that is not ready.
type blocked struct {
	target
	why   string // with the pod that explains it
	cause runtime.ReleaseCause
	owner types.UID     // of the pods of its newest revision
	pods  []*corev1.Pod // of these the ones that are not ready
	// The reason why they are not scheduled.
	unbound []runtime.UnboundClaim
}

// An unready is the error if a release's workloads did not become ready.
type unready struct {
	err      error                // the cause in one sentence
	cause    runtime.ReleaseCause // of a workload that can never become ready; see causeOf
	ofHook   bool                 // a hook failed
	blocked  []blocked
	evidence []string // details that had to be collected before the objects are deleted
	deadline string   // of a workload, if it was exceeded, such as "activeDeadlineSeconds of job migrate"
}

func (e *unready) Error() string { return e.err.Error() }

func (e *unready) Unwrap() error { return e.err }

// A limit is a deadline and the duration that it ends.
type limit struct {
	end time.Time
	of  time.Duration
}

// within returns the limit for a wait that starts now.
func within(d time.Duration) limit { return limit{time.Now().Add(d), d} }

// err returns the error for an exceeded limit.
func (l limit) err() error { return fmt.Errorf("%w after %s", runtime.ErrTimeout, l.of) }

// await returns nil when all targets are ready. It returns an *unready if that
// is impossible or takes longer than the limit, or the cause of ctx if ctx is
// done. It relies on watches alone.
func (d *Deployer) await(ctx context.Context, targets []target, until limit, emit runtime.Emit) error {
	if len(targets) == 0 {
		return nil
	}
	w := newWait(targets, emit)
	var kinds []string
	for _, t := range targets {
		kinds = append(kinds, t.kind)
	}
	kinds = kindsFor(kinds)
	changes := make(chan struct{}, 1)
	for _, t := range targets {
		if w.caches[t.namespace] == nil {
			v, done := d.caches.Of(d.cluster.Cluster, t.namespace, kinds)
			defer done()
			defer v.Read(changes)()
			w.caches[t.namespace] = v
		}
	}
	var watched []func()
	defer func() {
		for _, done := range watched {
			done()
		}
	}()
	w.watch = func(namespace string, kinds ...string) {
		if w.caches[namespace].Index(kinds[0]) == nil {
			_, done := d.caches.Of(d.cluster.Cluster, namespace, kinds)
			watched = append(watched, done)
		}
	}
	w.class = func(name string) (*storagev1.StorageClass, error) { return d.cluster.storageClass(ctx, name) }
	w.exists = func(t target) bool { return d.cluster.exists(ctx, t) }
	w.remove = func(p *corev1.Pod) {
		emit(runtime.Log{Source: p.Name, Text: "removed: it is of a former revision, which cannot get ready, and would hold up the new one"})
		same := &metav1.Preconditions{UID: &p.UID}
		// If it fails, all that remains is to wait until the limit.
		_ = d.cluster.Typed.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: same})
	}
	if soon := time.Now().Add(leastTime); until.end.Before(soon) {
		until.end = soon
	}
	err := w.run(ctx, changes, until)
	if errors.Is(err, runtime.ErrTimeout) {
		// The last state may be old: an unreachable cluster is not a failure of
		// the release.
		if away := d.cluster.Away(ctx); away != nil {
			return fmt.Errorf("%w, and the cluster cannot be asked any more: %w", err, away)
		}
	}
	return err
}

func newWait(targets []target, emit runtime.Emit) *wait {
	return &wait{
		targets: targets, caches: make(map[string]*observe.Cache), since: make(map[string]time.Time),
		pods: make(map[types.UID]runtime.PodChanged), emit: emit,
		exists:  func(target) bool { return true },
		watch:   func(string, ...string) {},
		class:   func(string) (*storagev1.StorageClass, error) { return nil, runtime.ErrNotFound },
		classes: make(map[string]lookedAt),
		remove:  func(*corev1.Pod) {}, removed: make(map[types.UID]bool),
	}
}

// run checks the workloads whenever something has changed.
func (w *wait) run(ctx context.Context, changes <-chan struct{}, until limit) error {
	end := time.NewTimer(time.Until(until.end))
	defer end.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	var reported time.Time
	for {
		now := time.Now()
		open, failed, next := w.assess(now)
		switch {
		case failed != nil:
			return failed
		case len(open) == 0:
			return nil
		case !now.Before(until.end):
			return &unready{err: fmt.Errorf("%w: %s", until.err(), open[0].why), blocked: open}
		}
		if now.Sub(reported) >= reportEvery {
			reported = now
			w.emit(runtime.WaitingFor{What: w.waitingFor(open)})
		}
		if left := reportEvery - now.Sub(reported); next <= 0 || next > left {
			next = left
		}
		again.Reset(next)
		select {
		case <-changes:
		case <-again.C:
		case <-end.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waitingFor describes in one line what is waited for.
func (w *wait) waitingFor(open []blocked) string {
	text := open[0].why
	if n := len(open) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	if err := w.caches[open[0].namespace].Err(open[0].kind); err != nil {
		text += fmt.Sprintf(" (the cluster does not say: %v)", err)
	}
	return text
}

// assess returns the workloads that are not ready. If one of them can never
// become ready, failed is not nil. Otherwise next is when to look again if
// nothing changes before, or 0.
func (w *wait) assess(now time.Time) (open []blocked, failed *unready, next time.Duration) {
	was := w.since
	w.since = make(map[string]time.Time)
	for _, t := range w.targets {
		v := w.caches[t.namespace]
		if err := v.Err(t.kind); apierrors.IsForbidden(err) {
			return nil, &unready{err: fmt.Errorf("see whether %s is ready: %w", t, err)}, 0
		}
		s := workloadStatusOf(v, t)
		if s.unseen {
			var left time.Duration
			s, left = w.ask(v, t, s, was, now)
			next = sooner(next, left)
		}
		pods := podsOf(v, t, s)
		w.reportPods(pods)
		if s.ready {
			continue
		}
		if t.kind == "StatefulSet" && s.replacesAll {
			w.unstick(v, s)
		}
		b := blocked{target: t, owner: s.owner}
		troubles := w.troublesOf(v, s, pods)
		for _, f := range troubles {
			b.unbound = append(b.unbound, f.claims...)
		}
		if t.kind == "Job" { // it has its own retry limit
			for i := range troubles {
				troubles[i].Hopeful = troubles[i].Hopeful || troubles[i].Class == "crash"
			}
		}
		worst, left := w.worst(troubles, was, now)
		next = sooner(next, left)
		final := s.failed != "" || worst.final
		b.why = fmt.Sprintf("%s: %s%s", t, cmp.Or(s.failed, s.why), worst.text())
		b.cause = worst.Cause
		for _, p := range slices.Concat(pods, v.GoneOf(s.owner)) {
			if !observe.PodReady(p) {
				b.pods = append(b.pods, p)
			}
		}
		open = append(open, b)
		if final && failed == nil {
			failed = &unready{err: errors.New(b.why), cause: b.cause}
			if s.late != "" {
				failed.err = fmt.Errorf("%w: %s", runtime.ErrTimeout, b.why)
				failed.deadline = s.late + " of " + t.String()
			}
		}
	}
	if failed != nil {
		failed.blocked = open
	}
	return open, failed, next
}

// sooner returns the shorter of two durations, where 0 means none.
func sooner(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// ask queries the server for a workload that the cache has not shown for a
// while: if it was deleted before the watch started, no event would report
// that. left is when to ask next.
func (w *wait) ask(v *observe.Cache, t target, s workloadStatus, was map[string]time.Time, now time.Time) (status workloadStatus, left time.Duration) {
	key := "unseen " + string(t.uid)
	first, ok := was[key]
	if !ok {
		first = now
	}
	if left = askAfter - now.Sub(first); left <= 0 {
		if !w.exists(t) {
			v.Remember(t.uid, nil)
			return workloadStatusOf(v, t), 0
		}
		first, left = now, askAfter
	}
	w.since[key] = first
	return s, left
}

// podsOf returns the pods of the newest revision of a workload.
func podsOf(v *observe.Cache, t target, s workloadStatus) []*corev1.Pod {
	if t.kind == "Pod" {
		if p := observe.Object[corev1.Pod](v, "Pod", t.namespace, t.name); p != nil {
			return []*corev1.Pod{p}
		}
		return nil
	}
	if s.owner == "" {
		return nil
	}
	pods := observe.Owned[corev1.Pod](v, "Pod", s.owner)
	if s.newest != nil {
		pods = slices.DeleteFunc(pods, func(p *corev1.Pod) bool { return !s.newest(p) })
	}
	return pods
}

// reportPods emits changes of pods.
func (w *wait) reportPods(pods []*corev1.Pod) {
	for _, p := range pods {
		e := runtime.PodChanged{Pod: p.Name, Phase: string(p.Status.Phase), Ready: observe.PodReady(p)}
		if p.DeletionTimestamp != nil {
			e.Phase = "Terminating"
		}
		if t := observe.PodTrouble(p); t != nil && !e.Ready {
			e.Reason = t.What
		}
		if w.pods[p.UID] != e {
			w.pods[p.UID] = e
			w.emit(e)
		}
	}
}

// kindsFor returns the kinds that have to be watched to see workloads of the
// given kinds get ready.
func kindsFor(workloads []string) []string {
	need := map[string]bool{"Pod": true}
	for _, kind := range workloads {
		need[kind] = true
		switch kind {
		case "Deployment":
			need["ReplicaSet"] = true
		case "StatefulSet", "DaemonSet", "Job":
			need[observe.FailedCreate] = true
		}
	}
	return slices.Sorted(maps.Keys(need))
}
