package buildkit

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime"
)

// A MissingError means that there are no builders in a namespace.
type MissingError struct{ Namespace string }

func (e *MissingError) Error() string { return "there are no builders in namespace " + e.Namespace }

// Advice says how to create them.
func (e *MissingError) Advice() runtime.Advice {
	return runtime.Advice{Do: "create them with: " + upCommand(e.Namespace) + "; or use another builder", Options: []string{"BuildKit"}}
}

// upCommand returns the command that creates the builders of a namespace.
func upCommand(namespace string) string {
	if namespace == DefaultNamespace {
		return "pipe builders up"
	}
	return "pipe builders up --namespace " + namespace
}

// A ForeignError means that objects with the names of those of builders are not of pipe.
type ForeignError struct {
	Namespace string
	Objects   []string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("namespace %s has objects of others with the names that builders need: %s", e.Namespace, strings.Join(e.Objects, ", "))
}

// Advice says what to do about it.
func (e *ForeignError) Advice() runtime.Advice {
	return runtime.Advice{Do: "use another namespace for the builders: --namespace"}
}

// A NotReadyError means that builders are not ready.
type NotReadyError struct {
	Namespace string
	Builders  []Builder
	Cause     runtime.ReleaseCause // why one of them does not become ready; empty: unknown
	Rootless  bool                 // Up has made them with --rootless
	Ended     *Ended               // the program of one of them ends again and again; nil: none does, as far as known
}

// Ended is how the program of a builder has ended.
type Ended struct {
	Builder   string
	Restarted bool
	Lines     []string // the last ones of its log, 20 at most; none: it has none, or they cannot be read
}

func (e *NotReadyError) Error() string {
	what, states := "no builder in namespace %s is ready: %s", []string{}
	for _, b := range e.Builders {
		if b.Ready {
			what = "not all builders in namespace %s are ready: %s"
		} else {
			states = append(states, fmt.Sprintf("%s (%s)", b.Name, b.State))
		}
	}
	if len(states) == 0 {
		states = append(states, "there are no pods")
	}
	text := fmt.Sprintf(what, e.Namespace, strings.Join(states, ", "))
	if e.Ended != nil && len(e.Ended.Lines) > 0 {
		text += fmt.Sprintf("\nthe last lines of the log of %s:\n  %s", e.Ended.Builder, strings.Join(e.Ended.Lines, "\n  "))
	}
	return text
}

// Advice says how to find the reason, and what to change.
func (e *NotReadyError) Advice() runtime.Advice {
	up := upCommand(e.Namespace)
	if len(e.Builders) == 0 { // its events say what refuses them
		return runtime.Advice{Do: fmt.Sprintf("see why with: kubectl --namespace %s describe statefulset %s; a quota or the pod security standard of the namespace may refuse the pods: builders need the level privileged", e.Namespace, Name)}
	}
	do := fmt.Sprintf("see why with: kubectl --namespace %s describe pods", e.Namespace)
	if e.Ended != nil {
		do += fmt.Sprintf(", and kubectl --namespace %s logs %s", e.Namespace, e.Ended.Builder)
		if e.Ended.Restarted {
			do += " --previous"
		}
	}
	switch {
	case e.Cause == runtime.CauseImage:
		do += fmt.Sprintf("; if nodes cannot pull the image, name a copy that they can pull: %s --image", up)
	case e.Cause == runtime.CauseMemory:
		do += fmt.Sprintf("; if a node has too little memory, change the builders with %s --memory", up)
	case e.Ended != nil && e.Rootless:
		do += fmt.Sprintf("; --rootless requires nodes with Linux 5.11 that allow user namespaces (sysctl user.max_user_namespaces), and an image whose newuidmap and newgidmap have the file capabilities cap_setuid and cap_setgid; "+
			"privileged builders do not: pipe builders down --delete-cache --namespace %s, and then %s", e.Namespace, up)
	case e.Ended == nil:
		do += fmt.Sprintf("; if no node has room, change the builders with %s --cpu and --memory", up)
	}
	return runtime.Advice{Do: do}
}

// An ExpiredError means that the certificate of the builders or of their clients has expired.
type ExpiredError struct {
	Namespace string
	Text      string
}

func (e *ExpiredError) Error() string { return e.Text }

// Advice says how to renew it.
func (e *ExpiredError) Advice() runtime.Advice {
	return runtime.Advice{Do: "renew it with: pipe builders up --namespace " + e.Namespace}
}

// explain adds to an error of the server what to do about it.
func explain(err error) error {
	var status apierrors.APIStatus
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause): // also an error of the status forbidden
		return runtime.Advise(err, runtime.Advice{Do: "run again when the namespace is gone: builders in it may take 10 minutes to end their builds"})
	case errors.As(err, &status) && apierrors.IsForbidden(err):
		return runtime.Advise(errors.New(status.Status().Message), runtime.Advice{Do: "ask for this permission: docs/rbac.md lists those for builders"})
	}
	return err
}
