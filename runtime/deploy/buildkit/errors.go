package buildkit

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime"
)

// A MissingError means that there are no builders in a namespace.
type MissingError struct{ Namespace string }

func (e *MissingError) Error() string { return "there are no builders in namespace " + e.Namespace }

// Advice says how to create them.
func (e *MissingError) Advice() runtime.Advice {
	up := "pipe builders up"
	if e.Namespace != DefaultNamespace {
		up += " --namespace " + e.Namespace
	}
	return runtime.Advice{Do: "create them with: " + up + "; or use another builder", Options: []string{"BuildKit"}}
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
	return fmt.Sprintf(what, e.Namespace, strings.Join(states, ", "))
}

// Advice says how to find the reason.
func (e *NotReadyError) Advice() runtime.Advice {
	return runtime.Advice{Do: fmt.Sprintf("see why with: kubectl --namespace %s describe pods; if no node has room, change the builders with pipe builders up --cpu and --memory", e.Namespace)}
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
	if errors.As(err, &status) && apierrors.IsForbidden(err) {
		return runtime.Advise(errors.New(status.Status().Message), runtime.Advice{Do: "ask for this permission: docs/rbac.md lists those for builders"})
	}
	return err
}
