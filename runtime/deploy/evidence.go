package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// The limits of the explanation of a failure, so that it stays readable.
const (
	explainedWorkloads = 5
	explainedPods      = 2 // of each workload: other pods of a revision have the same trouble
	explainedEvents    = 5 // of each pod or workload
	logLines           = 20
	logBytes           = 16 << 10
)

// evidence collects lines that explain why workloads are not ready: the state of their
// pods, their last events and their last log lines (A8). What cannot be read is omitted,
// so that it does not hide the failure itself.
func (o *operation) evidence(failure *unready) []string {
	if failure.evidence != nil {
		return failure.evidence
	}
	cause, stuck := failure.err, failure.blocked
	ctx, stop := context.WithTimeout(o.objects.requests(), explainTime)
	defer stop()
	var lines []string
	events := make(map[string]map[types.UID][]*corev1.Event) // by namespace
	for _, b := range stuck[:min(len(stuck), explainedWorkloads)] {
		if !strings.Contains(cause.Error(), b.why) { // not shown already
			lines = append(lines, b.why)
		}
		if events[b.namespace] == nil {
			events[b.namespace] = o.events(ctx, b.namespace)
		}
		lines = append(lines, eventLines(events[b.namespace][b.uid])...)
		if b.owner != b.uid {
			lines = append(lines, eventLines(events[b.namespace][b.owner])...)
		}
		slices.SortStableFunc(b.pods, func(x, y *corev1.Pod) int { return severity(y) - severity(x) })
		for _, p := range b.pods[:min(len(b.pods), explainedPods)] {
			lines = append(lines, podLines(p)...)
			lines = append(lines, eventLines(events[b.namespace][p.UID])...)
			lines = append(lines, o.logs(ctx, p)...)
		}
	}
	if len(lines) == 0 && len(stuck) > 0 {
		lines = []string{stuck[0].why}
	}
	return lines
}

// failure returns the failure of a release whose workloads did not become ready.
func (o *operation) failure(ctx context.Context, stuck *unready) *runtime.ReleaseError {
	failed := &runtime.ReleaseError{Release: o.r.Service.Name, Err: o.d.explain(ctx, stuck.err), Evidence: o.evidence(stuck), Deadline: stuck.deadline}
	failed.Cause = stuck.causeOf()
	if stuck.ofHook && (failed.Cause == "" || failed.Cause == runtime.CauseObject) {
		failed.Cause = runtime.CauseHook
	}
	for _, b := range stuck.blocked {
		for _, c := range b.unbound {
			if !slices.Contains(failed.Unbound, c) {
				failed.Unbound = append(failed.Unbound, c)
			}
		}
	}
	return failed
}

// causeOf returns the kind of the failure: that of the workload that failed, or of the
// first workload that is not ready and whose cause is known.
func (e *unready) causeOf() runtime.ReleaseCause {
	if e.cause != "" {
		return e.cause
	}
	for _, b := range e.blocked {
		if len(b.unbound) > 0 {
			return runtime.CauseClaim
		}
		if b.cause != "" {
			return b.cause
		}
		for _, p := range b.pods {
			if cause := observe.PodCause(p); cause != "" {
				return cause
			}
		}
	}
	var answer apierrors.APIStatus
	switch {
	case len(e.blocked) > 0 || errors.Is(e.err, runtime.ErrTimeout):
		return ""
	case apierrors.IsForbidden(e.err) && errors.As(e.err, &answer):
		cause, _ := observe.Forbidden(answer.Status().Message)
		return cause
	}
	return runtime.CauseObject
}

// severity orders pods by how much they explain: the most useful ones come first.
func severity(p *corev1.Pod) int {
	switch t := observe.PodTrouble(p); {
	case t == nil:
		return 0
	case t.Log != "":
		return 3
	case !t.Hopeful:
		return 2
	}
	return 1
}

// podLines describes the status of a pod and its containers.
func podLines(p *corev1.Pod) []string {
	head := fmt.Sprintf("pod %s: %s", p.Name, p.Status.Phase)
	if p.Spec.NodeName != "" {
		head += " on node " + p.Spec.NodeName
	}
	lines := []string{head}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			lines = append(lines, "  "+observe.Reason(c.Reason, c.Message))
		}
	}
	for _, s := range observe.Statuses(p) {
		text := "container " + s.Name + ": "
		switch {
		case s.State.Waiting != nil:
			text += observe.Reason(s.State.Waiting.Reason, s.State.Waiting.Message)
		case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
			text = observe.Ended(s.Name, s.State.Terminated)
		case s.State.Running != nil && !s.Ready:
			text += "it runs, but is not ready"
		default:
			continue
		}
		switch {
		case s.RestartCount == 1:
			text += " (restarted once)"
		case s.RestartCount > 1:
			text += fmt.Sprintf(" (restarted %d times)", s.RestartCount)
		}
		lines = append(lines, "  "+text)
		if last := s.LastTerminationState.Terminated; last != nil && s.State.Terminated == nil {
			lines = append(lines, "  before that, "+observe.Ended(s.Name, last))
		}
	}
	return lines
}

// events returns the events of a namespace by the UID of their object, the oldest first.
func (o *operation) events(ctx context.Context, namespace string) map[types.UID][]*corev1.Event {
	list, err := o.d.cluster.Typed.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return map[types.UID][]*corev1.Event{}
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return observe.EventTime(&a).Compare(observe.EventTime(&b)) })
	out := make(map[types.UID][]*corev1.Event)
	for i := range list.Items {
		e := &list.Items[i]
		out[e.InvolvedObject.UID] = append(out[e.InvolvedObject.UID], e)
	}
	return out
}

// eventLines returns lines for the last warnings among the events.
func eventLines(events []*corev1.Event) []string {
	events = slices.DeleteFunc(slices.Clone(events), func(e *corev1.Event) bool { return e.Type != corev1.EventTypeWarning })
	var lines []string
	for _, e := range events[max(0, len(events)-explainedEvents):] {
		n := e.Count
		if e.Series != nil {
			n = e.Series.Count
		}
		text := "  event " + observe.Reason(e.Reason, e.Message)
		if n > 1 {
			text += fmt.Sprintf(" (%d times)", n)
		}
		lines = append(lines, text)
	}
	return lines
}

// logs returns the last log lines of the containers of a pod that have failed, or that
// run and are not ready. It also emits them.
func (o *operation) logs(ctx context.Context, p *corev1.Pod) []string {
	var lines []string
	for _, s := range observe.Statuses(p) {
		failed := s.State.Terminated != nil && s.State.Terminated.ExitCode != 0 || s.LastTerminationState.Terminated != nil
		if !failed && (s.State.Running == nil || s.Ready) {
			continue
		}
		tail, err := observe.LastLines(ctx, o.d.cluster.Typed, p, s.Name)
		if err != nil || len(tail) == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("  the last lines of container %s:", s.Name))
		for _, line := range tail {
			lines = append(lines, "    "+line)
			o.emit(runtime.Log{Source: p.Name + "/" + s.Name, Text: line})
		}
	}
	return lines
}
