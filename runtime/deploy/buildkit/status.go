package buildkit

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	all := []Builder{}
	for i := range pods {
		all = append(all, builderOf(&pods[i]))
	}
	return all, err
}

// draining is the state of a builder that accepts no more builds.
const draining = "draining"

// builderOf returns the state of a builder.
func builderOf(p *corev1.Pod) Builder {
	b := Builder{Name: p.Name, State: "starting", Node: p.Spec.NodeName, Created: p.CreationTimestamp.Time}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			b.Ready, b.State = true, "ready"
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			b.State = why(c.Reason, c.Message)
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		b.Restarts += int(c.RestartCount)
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" {
			b.State = why(w.Reason, w.Message)
		}
	}
	switch {
	case p.DeletionTimestamp != nil:
		b.Ready, b.State = false, draining
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		b.Ready, b.State = false, why("ended", p.Status.Reason)
	}
	return b
}

// why joins a reason with its explanation, which may be empty.
func why(reason, explanation string) string {
	if explanation == "" {
		return reason
	}
	return reason + ": " + explanation
}
