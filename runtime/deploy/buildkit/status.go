package buildkit

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A Status shows the builders of a namespace.
type Status struct {
	Namespace string  `json:"namespace"`
	Options   Options `json:"options"`
	Image     string  `json:"image"`
	// Expires is when the first of the certificates expires; zero: there is none, or it cannot be read.
	Expires  time.Time `json:"expires,omitzero"`
	Renew    bool      `json:"renew"` // "pipe builders up" would renew it
	Builders []Builder `json:"builders"`
}

// A Builder is a builder and its state.
type Builder struct {
	Name     string    `json:"name"`
	Ready    bool      `json:"ready"`
	State    string    `json:"state"` // such as ready, starting, draining, ImagePullBackOff
	Node     string    `json:"node,omitempty"`
	Restarts int       `json:"restarts"`
	Created  time.Time `json:"created,omitzero"`
}

// Status returns the state of the builders. If there are none, the error is a *MissingError.
func (f *Farm) Status(ctx context.Context) (*Status, error) {
	set, err := f.set(ctx)
	if err != nil {
		return nil, err
	}
	s := &Status{Namespace: f.namespace}
	if s.Options, err = recorded(set); err != nil {
		return nil, err
	}
	for _, c := range set.Spec.Template.Spec.Containers {
		s.Image = c.Image
	}
	if s.Builders, err = f.builders(ctx); err != nil {
		return nil, err
	}
	if secret, err := f.secret(ctx, secretClient); err == nil {
		for _, file := range []string{fileAuthority, fileCertificate} {
			if c := firstCertificate(secret.Data[file]); c != nil && (s.Expires.IsZero() || c.NotAfter.Before(s.Expires)) {
				s.Expires = c.NotAfter
			}
		}
		s.Renew = time.Now().Add(renewBefore).After(s.Expires)
	}
	return s, nil
}

// pods returns the pods of the builders, in the order of their names.
func (f *Farm) pods(ctx context.Context) ([]corev1.Pod, error) {
	list, err := f.client.CoreV1().Pods(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: selector()})})
	if err != nil {
		return nil, explain(err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

func (f *Farm) builders(ctx context.Context) ([]Builder, error) {
	pods, err := f.pods(ctx)
	return buildersOf(pods), err
}

func buildersOf(pods []corev1.Pod) []Builder {
	all := []Builder{}
	for i := range pods {
		all = append(all, builderOf(&pods[i]))
	}
	return all
}

// draining is the state of a builder that accepts no more builds.
const draining = "draining"

// builderOf returns the state of a builder.
func builderOf(p *corev1.Pod) Builder {
	b := Builder{Name: p.Name, State: "starting", Node: p.Spec.NodeName, Restarts: restarts(p), Created: p.CreationTimestamp.Time}
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" {
			b.State = observe.Reason(w.Reason, w.Message)
		}
		if last := c.LastTerminationState.Terminated; last != nil && c.State.Running != nil {
			b.State = "starting again: " + observe.Ended(c.Name, last)
		}
	}
	trouble := observe.PodTrouble(p)
	switch {
	case p.DeletionTimestamp != nil:
		b.State = draining
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		b.State = observe.Reason("ended", p.Status.Reason)
	case observe.PodReady(p):
		b.Ready, b.State = true, "ready"
	case trouble != nil:
		b.State = trouble.What
	}
	return b
}

// restarts returns how often the containers of a pod were restarted.
func restarts(p *corev1.Pod) (n int) {
	for _, c := range p.Status.ContainerStatuses {
		n += int(c.RestartCount)
	}
	return n
}
