package buildkit

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
)

// podOf returns a pod of a builder whose container has a status.
func podOf(uid, revision string, status corev1.ContainerStatus) corev1.Pod {
	status.Name = "buildkit"
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "buildkit-0", UID: types.UID(uid), Labels: map[string]string{appsv1.StatefulSetRevisionLabel: revision}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{status}},
	}
}

func crashed(restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
	}
}

func running(restarts int32) corev1.ContainerStatus {
	s := crashed(restarts)
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	return s
}

func pull(message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: message}}}
}

// TestWatch: what a builder shows ends the wait only if it cannot become ready any more.
func TestWatch(t *testing.T) {
	t.Parallel()
	type step struct {
		pod  corev1.Pod
		wait time.Duration // before it is seen
	}
	for name, c := range map[string]struct {
		steps []step
		fails bool // at the last step, and not before
	}{
		"third crash":                     {[]step{{podOf("a", "new", running(0)), 0}, {podOf("a", "new", crashed(1)), 0}, {podOf("a", "new", running(1)), 10 * time.Second}, {podOf("a", "new", crashed(2)), 0}, {podOf("a", "new", crashed(2)), settle}}, true},
		"second crash":                    {[]step{{podOf("a", "new", running(0)), 0}, {podOf("a", "new", crashed(1)), 0}, {podOf("a", "new", crashed(1)), time.Hour}}, false},
		"old crashes":                     {[]step{{podOf("a", "new", crashed(8)), 0}, {podOf("a", "new", crashed(8)), time.Hour}}, false},
		"old crashes, and another":        {[]step{{podOf("a", "new", crashed(8)), 0}, {podOf("a", "new", crashed(9)), 0}, {podOf("a", "new", crashed(9)), settle}}, true},
		"earlier revision":                {[]step{{podOf("a", "old", running(0)), 0}, {podOf("a", "old", crashed(5)), 0}, {podOf("a", "old", crashed(5)), time.Hour}}, false},
		"replaced after crashes":          {[]step{{podOf("a", "new", running(0)), 0}, {podOf("b", "new", crashed(5)), 0}, {podOf("b", "new", crashed(5)), time.Hour}}, false},
		"image that does not exist":       {[]step{{podOf("a", "new", pull("manifest unknown")), 0}, {podOf("a", "new", pull("manifest unknown")), settle}}, true},
		"registry that restarts":          {[]step{{podOf("a", "new", pull("connection refused")), 0}, {podOf("a", "new", pull("connection refused")), settle}}, false},
		"registry that stays unreachable": {[]step{{podOf("a", "new", pull("connection refused")), 0}, {podOf("a", "new", pull("connection refused")), time.Minute}}, true},
		"short troubles":                  {[]step{{podOf("a", "new", pull("manifest unknown")), 0}, {podOf("a", "new", running(0)), settle}, {podOf("a", "new", pull("manifest unknown")), settle}}, false},
	} {
		set := &appsv1.StatefulSet{Status: appsv1.StatefulSetStatus{UpdateRevision: "new"}}
		w, now := watch{}, time.Now()
		for i, s := range c.steps {
			now = now.Add(s.wait)
			if got, want := w.failed(set, []corev1.Pod{s.pod}, now) != nil, c.fails && i == len(c.steps)-1; got != want {
				t.Errorf("%s: step %d: failed = %v, want %v", name, i, got, want)
			}
		}
	}
}

// TestState: a state says why a builder is not ready.
func TestState(t *testing.T) {
	t.Parallel()
	for want, status := range map[string]corev1.ContainerStatus{
		"CrashLoopBackOff: container buildkit exited with status 1": crashed(2),
		"starting again: container buildkit exited with status 1":   running(1),
		"ErrImagePull: manifest unknown":                            pull("manifest unknown"),
		"starting":                                                  {State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}},
	} {
		p := podOf("a", "new", status)
		if b := builderOf(&p); b.Ready || b.State != want || b.Restarts != int(status.RestartCount) {
			t.Errorf("builderOf = %+v, want state %q", b, want)
		}
	}
}

// TestNoPodsAdvice: without pods there is nothing to describe but what should create them.
func TestNoPodsAdvice(t *testing.T) {
	t.Parallel()
	err := &NotReadyError{Namespace: "ci"}
	if do := err.Advice().Do; !strings.Contains(do, "kubectl --namespace ci describe statefulset buildkit; a quota or the pod security standard") || strings.Contains(do, "describe pods") {
		t.Errorf("the advice of %v is %q", err, do)
	}
}

// TestNotReadyAdvice: what to do depends on why builders are not ready.
func TestNotReadyAdvice(t *testing.T) {
	t.Parallel()
	ended := &Ended{Builder: "buildkit-0", Restarted: true, Lines: []string{"one", "two"}}
	b := []Builder{{Name: "buildkit-0", State: "CrashLoopBackOff"}}
	if got, want := (&NotReadyError{Namespace: "ci", Builders: b, Ended: ended}).Error(),
		"no builder in namespace ci is ready: buildkit-0 (CrashLoopBackOff)\nthe last lines of the log of buildkit-0:\n  one\n  two"; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	for _, c := range []struct {
		err        NotReadyError
		has, lacks string
	}{
		{NotReadyError{Ended: ended, Cause: runtime.CauseCrash, Rootless: true}, "kubectl --namespace ci logs buildkit-0 --previous; --rootless requires nodes with", "--cpu"},
		{NotReadyError{Ended: ended, Cause: runtime.CauseCrash}, "logs buildkit-0 --previous", "rootless"},
		{NotReadyError{Ended: &Ended{Builder: "buildkit-0"}, Cause: runtime.CauseCrash}, "logs buildkit-0", "--previous"},
		{NotReadyError{Ended: ended, Cause: runtime.CauseMemory, Rootless: true}, "pipe builders up --namespace ci --memory", "requires nodes"},
		{NotReadyError{Cause: runtime.CauseImage, Rootless: true}, "pipe builders up --namespace ci --image", "requires nodes"},
		{NotReadyError{Cause: runtime.CauseNode}, "pipe builders up --namespace ci --cpu and --memory", "logs"},
	} {
		c.err.Namespace, c.err.Builders = "ci", b
		if do := c.err.Advice().Do; !strings.Contains(do, c.has) || strings.Contains(do, c.lacks) {
			t.Errorf("the advice of %+v is %q: want %q in it, and not %q", c.err, do, c.has, c.lacks)
		}
	}
}
