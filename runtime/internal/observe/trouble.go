package observe

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// A Trouble is a reason why a pod does not become ready.
type Trouble struct {
	What     string // such as "ImagePullBackOff: …"
	Class    string // the same for all names of the same trouble, such as ErrImagePull and ImagePullBackOff
	Cause    runtime.ReleaseCause
	Patience time.Duration // how long it may last before it counts as final
	Hopeful  bool          // it never counts as final: a node may become free, or a program may start when it is retried
	Log      string        // the container whose log may explain it
}

// How long a trouble that may be temporary may last.
const (
	PullPatience   = 45 * time.Second // at least two retries of the kubelet, and time for a registry to restart
	ConfigPatience = 10 * time.Second // a Secret or ConfigMap may be created a moment later
	startPatience  = 20 * time.Second
	// Crashes is how often a container may crash: a program may depend on another one that is
	// starting at the same time.
	Crashes = 3
)

// Classes that others act on.
const (
	ClassPlace = "place" // a pod cannot be scheduled
	ClassCrash = "crash" // a container has ended with an error, again and again if it is not hopeful
)

// PodTrouble returns the reason why a pod does not become ready, or nil.
func PodTrouble(p *corev1.Pod) *Trouble {
	var found *Trouble
	list := Statuses(p)
	for i := range list {
		t := containerTrouble(&list[i])
		if t != nil && (found == nil || found.Hopeful && !t.Hopeful) {
			found = t
		}
	}
	if found != nil {
		return found
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return &Trouble{Class: ClassPlace, Cause: runtime.CauseNode, What: Reason(c.Reason, c.Message), Hopeful: true}
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		return &Trouble{Class: "end", What: Reason(cmp.Or(p.Status.Reason, "Failed"), p.Status.Message), Hopeful: true}
	}
	return nil
}

func containerTrouble(s *corev1.ContainerStatus) *Trouble {
	// The container has crashed once more than it was restarted.
	enough := s.RestartCount+1 >= Crashes
	if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
		return &Trouble{Class: ClassCrash, Cause: endedBy(t), What: Ended(s.Name, t), Hopeful: !enough, Log: s.Name}
	}
	w := s.State.Waiting
	if w == nil {
		return nil
	}
	t := &Trouble{Class: w.Reason, What: Reason(w.Reason, w.Message)}
	switch w.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
		t.Cause = runtime.CauseImage
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		t.Class, t.Cause = "pull", runtime.CauseImage
		if !final(w.Message) {
			t.Patience = PullPatience
		}
	case "CreateContainerConfigError":
		t.Patience = ConfigPatience
	case "CreateContainerError", "RunContainerError", "PostStartHookError", "PreStartHookError":
		t.Class, t.Patience = "start", startPatience
		t.Log = s.Name
		if noCommand(w.Message) {
			t.Cause = runtime.CauseCommand
		}
	case "CrashLoopBackOff":
		t.Class, t.Cause, t.Log = ClassCrash, runtime.CauseCrash, s.Name
		last := s.LastTerminationState.Terminated
		if last != nil {
			t.Cause = endedBy(last)
			t.What = "CrashLoopBackOff: " + Ended(s.Name, last)
		}
		// A missing program will still be missing at the next attempt.
		cannot := last != nil && (last.Reason == "StartError" || last.Reason == "ContainerCannotRun")
		t.Hopeful = !enough && !cannot
	default: // such as ContainerCreating
		return nil
	}
	return t
}

// final reports whether another attempt to pull an image will fail in the same way, because
// the registry has answered.
func final(message string) bool {
	m := strings.ToLower(message)
	for _, sign := range []string{
		"not found", "manifest unknown", "name unknown", "repository does not exist", "no match for platform",
		"pull access denied", "unauthorized", "authorization failed", "403 forbidden", "invalid reference format",
	} {
		if strings.Contains(m, sign) {
			return true
		}
	}
	return false
}

// noCommand reports whether a container cannot be created because its image does not specify
// a command. The container runtime reports this only in its message.
func noCommand(message string) bool { return strings.Contains(message, "no command specified") }

// endedBy returns the cause of a container's failure.
func endedBy(t *corev1.ContainerStateTerminated) runtime.ReleaseCause {
	if t.Reason == "OOMKilled" {
		return runtime.CauseMemory
	}
	return runtime.CauseCrash
}

// PodCause returns the cause why a pod does not become ready, or "" if it is unknown. It also
// considers the last failure of a container that is running again.
func PodCause(p *corev1.Pod) runtime.ReleaseCause {
	if t := PodTrouble(p); t != nil {
		return t.Cause
	}
	runs := false
	for _, s := range Statuses(p) {
		if last := s.LastTerminationState.Terminated; last != nil && last.ExitCode != 0 && !s.Ready {
			return endedBy(last)
		}
		runs = runs || s.State.Running != nil && !s.Ready
	}
	if runs {
		return runtime.CauseHealth
	}
	return ""
}

// Ended describes how a container ended.
func Ended(container string, t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("container %s exited with status %d", container, t.ExitCode)
	if t.Signal != 0 {
		text = fmt.Sprintf("container %s was ended by signal %d", container, t.Signal)
	}
	if t.Reason != "" && t.Reason != "Error" {
		text += " (" + t.Reason + ")"
	}
	if m := strings.TrimSpace(t.Message); m != "" {
		text += ": " + Clip(OneLine(m), 300)
	}
	return text
}

// Reason joins a reason and its message.
func Reason(reason, message string) string {
	if message = OneLine(message); message == "" {
		return reason
	}
	return reason + ": " + Clip(message, 500)
}

// OneLine joins the lines of a string.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// EventTime returns when an event last happened.
func EventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// PodReady reports whether a pod is ready.
func PodReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Replicas returns the number of replicas; the default is one.
func Replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// Clip shortens s to n bytes.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
