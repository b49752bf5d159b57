package deploy

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A trouble is something that keeps a pod from getting ready.
type trouble struct {
	what     string        // such as "ImagePullBackOff: …"
	class    string        // the same for all names that one trouble has in turn
	patience time.Duration // how long it may last until it counts as final
	hopeful  bool          // it never counts as final: a place may get free, a program may start at the next try
	log      string        // the container whose log may explain it
}

// How long a trouble may last that can be one of a moment.
const (
	pullPatience   = 45 * time.Second // at least two more tries of the kubelet, and time for a registry to restart
	configPatience = 10 * time.Second // a Secret or ConfigMap may be written a moment later
	startPatience  = 20 * time.Second
	createPatience = 10 * time.Second // a quota is freed by pods that end
	// crashes is how often a container may crash: a program may need what starts
	// at the same time.
	crashes = 3
)

// classPlace is the class of the trouble that a pod gets no node.
const classPlace = "place"

// podTrouble returns what keeps a pod from getting ready, or nil.
func podTrouble(p *corev1.Pod) *trouble {
	var found *trouble
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			t := containerTrouble(&list[i])
			if t != nil && (found == nil || found.hopeful && !t.hopeful) {
				found = t
			}
		}
	}
	if found != nil {
		return found
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return &trouble{class: classPlace, what: reason(c.Reason, c.Message), hopeful: true}
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		return &trouble{class: "end", what: reason(or(p.Status.Reason, "Failed"), p.Status.Message), hopeful: true}
	}
	return nil
}

func containerTrouble(s *corev1.ContainerStatus) *trouble {
	// It has crashed once more than it was started again.
	enough := s.RestartCount+1 >= crashes
	if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
		return &trouble{class: "crash", what: ended(s.Name, t), hopeful: !enough, log: s.Name}
	}
	w := s.State.Waiting
	if w == nil {
		return nil
	}
	t := &trouble{class: w.Reason, what: reason(w.Reason, w.Message)}
	switch w.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		t.class = "pull"
		if !final(w.Message) {
			t.patience = pullPatience
		}
	case "CreateContainerConfigError":
		t.patience = configPatience
	case "CreateContainerError", "RunContainerError", "PostStartHookError", "PreStartHookError":
		t.class, t.patience = "start", startPatience
		t.log = s.Name
	case "CrashLoopBackOff":
		t.class, t.log = "crash", s.Name
		last := s.LastTerminationState.Terminated
		if last != nil {
			t.what = "CrashLoopBackOff: " + ended(s.Name, last)
		}
		// A program that is not there does not come with the next try.
		cannot := last != nil && (last.Reason == "StartError" || last.Reason == "ContainerCannotRun")
		t.hopeful = !enough && !cannot
	default: // such as ContainerCreating
		return nil
	}
	return t
}

// final reports whether a failure to pull an image will be the same with the
// next try: the registry has answered.
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

// ended says how a container ended.
func ended(container string, t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("container %s exited with status %d", container, t.ExitCode)
	if t.Signal != 0 {
		text = fmt.Sprintf("container %s was ended by signal %d", container, t.Signal)
	}
	if t.Reason != "" && t.Reason != "Error" {
		text += " (" + t.Reason + ")"
	}
	if m := strings.TrimSpace(t.Message); m != "" {
		text += ": " + clip(oneLine(m), 300)
	}
	return text
}

// reason joins a reason and its message.
func reason(reason, message string) string {
	if message = oneLine(message); message == "" {
		return reason
	}
	return reason + ": " + clip(message, 500)
}

// oneLine makes one line of a text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func lower(s string) string { return strings.ToLower(s) }
