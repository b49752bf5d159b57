package observe

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Statuses returns the statuses of the containers of a pod: first those of init
// containers, of which native sidecars are a kind. It leaves out sidecars that were ended
// because the other containers have ended: how they end says nothing.
func Statuses(p *corev1.Pod) []corev1.ContainerStatus {
	over := len(p.Status.ContainerStatuses) > 0
	for i := range p.Status.ContainerStatuses {
		over = over && p.Status.ContainerStatuses[i].State.Terminated != nil
	}
	if !over {
		return slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
	}
	var out []corev1.ContainerStatus
	for _, s := range p.Status.InitContainerStatuses {
		if !IsSidecar(p, s.Name) {
			out = append(out, s)
		}
	}
	return append(out, p.Status.ContainerStatuses...)
}

// IsSidecar reports whether a container of a pod is a native sidecar.
func IsSidecar(p *corev1.Pod, container string) bool {
	return slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == container && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}
