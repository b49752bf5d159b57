package reach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Place is a container in which a command can run.
type Place struct {
	Service   string
	Pod       string
	Container string
	Others    []string // the other running containers of the pod
}

// String is "container main of pod web-1".
func (p Place) String() string { return fmt.Sprintf("container %s of pod %s", p.Container, p.Pod) }

// An UnknownError means that a service has no pod, or a pod no container, with a name.
type UnknownError struct {
	What       string   // "pod" or "container"
	Name       string   // the requested name
	Of         string   // the service, or the pod
	Candidates []string // the existing names
}

func (e *UnknownError) Error() string { return fmt.Sprintf("%s has no %s %q", e.Of, e.What, e.Name) }

// Place returns a container of a service. If pod is set, it uses that pod, and
// otherwise the newest pod that is ready, or the newest that is running. If container is
// set, it uses that container, and otherwise the default one: that of the
// pod's annotation kubectl.kubernetes.io/default-container, or the first. The
// error is a *NoPodError if no pod is running, or an *UnknownError.
func (n *Namespace) Place(ctx context.Context, service, pod, container string) (*Place, error) {
	list, err := n.client.CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{LabelSelector: labelService + "=" + service})
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	var names []string
	for i := range list.Items {
		p := &list.Items[i]
		if pod == "" || p.Name == pod {
			pods = append(pods, p)
		}
		names = append(names, p.Name)
	}
	if pod != "" && len(pods) == 0 {
		slices.Sort(names)
		return nil, &UnknownError{"pod", pod, service, names}
	}
	slices.SortFunc(pods, newestFirst)
	var unknown error
	for _, usable := range []func(*corev1.Pod) bool{ready, running, func(p *corev1.Pod) bool { return pod != "" }} {
		for _, p := range pods {
			if !usable(p) {
				continue
			}
			name, err := containerOf(p, container)
			if err != nil {
				unknown = err
				continue
			}
			if runs := runningContainers(p); slices.Contains(runs, name) {
				others := slices.DeleteFunc(runs, func(other string) bool { return other == name })
				return &Place{service, p.Name, name, others}, nil
			}
		}
	}
	if unknown != nil {
		return nil, unknown
	}
	return nil, noPod(service, pods, false)
}

// annotationContainer names the default container of a pod if it is not the first.
const annotationContainer = "kubectl.kubernetes.io/default-container"

// containerOf returns the container of a pod with that name, or the default one.
func containerOf(p *corev1.Pod, name string) (string, error) {
	var names []string
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		names = append(names, c.Name)
	}
	switch of := p.Annotations[annotationContainer]; {
	case name != "" && slices.Contains(names, name):
		return name, nil
	case name != "":
		return "", &UnknownError{"container", name, "pod " + p.Name, names}
	case slices.Contains(names, of):
		return of, nil
	case len(names) == 0: // the API server accepts no such pod
		return "", &UnknownError{"container", name, "pod " + p.Name, nil}
	}
	return names[0], nil
}

// runningContainers returns the names of the running containers of a pod.
func runningContainers(p *corev1.Pod) []string {
	var names []string
	for _, s := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if s.State.Running != nil {
			names = append(names, s.Name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
