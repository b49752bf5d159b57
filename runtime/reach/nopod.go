package reach

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A NoPodError means that a service has no pod that can be reached.
type NoPodError struct {
	Service string
	Ready   bool       // a ready pod was required, not only a running one
	Pods    []PodState // the existing pods, the newest first
}

// A PodState is the reason why a pod cannot be reached.
type PodState struct {
	Name  string
	State string // such as "CrashLoopBackOff", "not ready", "terminating", "ended with status 1", "Succeeded"
	Ended bool   // all its containers have terminated permanently
}

func (e *NoPodError) Error() string {
	if len(e.Pods) == 0 {
		return fmt.Sprintf("%s has no pod", e.Service)
	}
	what := "running"
	if e.Ready {
		what = "ready"
	}
	var states []string
	for i, p := range e.Pods {
		if i == maxPods {
			states = append(states, fmt.Sprintf("and %d more", len(e.Pods)-i))
			break
		}
		states = append(states, fmt.Sprintf("%s (%s)", p.Name, p.State))
	}
	return fmt.Sprintf("no pod of %s is %s: %s", e.Service, what, strings.Join(states, ", "))
}

// Ended reports whether there are pods and all of them have ended, like those of a completed
// job.
func (e *NoPodError) Ended() bool {
	for _, p := range e.Pods {
		if !p.Ended {
			return false
		}
	}
	return len(e.Pods) > 0
}

// maxPods is the maximum number of pods in an error message.
const maxPods = 3

func noPod(service string, pods []*corev1.Pod, ready bool) *NoPodError {
	e := &NoPodError{Service: service, Ready: ready}
	for _, p := range pods {
		e.Pods = append(e.Pods, PodState{Name: p.Name, State: stateOf(p), Ended: ended(p)})
	}
	return e
}

// stateOf describes the state of a pod that cannot be used.
func stateOf(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "terminating"
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			switch s := &list[i].State; {
			case s.Waiting != nil && s.Waiting.Reason != "" && s.Waiting.Reason != "PodInitializing":
				return s.Waiting.Reason
			case s.Terminated != nil && s.Terminated.ExitCode != 0:
				return fmt.Sprintf("ended with status %d", s.Terminated.ExitCode)
			}
		}
	}
	switch {
	case ended(p):
		return cmp.Or(p.Status.Reason, string(p.Status.Phase))
	case p.Status.Phase == corev1.PodPending && p.Spec.NodeName == "":
		return "not scheduled yet"
	case p.Status.Phase != corev1.PodRunning:
		return "starting"
	case ready(p):
		return "getting the changed files"
	}
	return "not ready"
}
