package observe

import (
	"bufio"
	"context"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// The limits of the last lines of a container, so that an explanation stays readable.
const (
	lastLines = 20
	lastBytes = 16 << 10
)

// LastLines returns the last log lines of a container, 20 at most. They explain how it ended: if it has
// crashed and is about to be restarted, they are those of its previous instance.
func LastLines(ctx context.Context, client kubernetes.Interface, p *corev1.Pod, container string) ([]string, error) {
	n, bytes := int64(lastLines), int64(lastBytes)
	stream, err := client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: container, Previous: between(p, container), TailLines: &n, LimitBytes: &bytes,
	}).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var lines []string
	scanner := bufio.NewScanner(io.LimitReader(stream, lastBytes))
	scanner.Buffer(nil, lastBytes+1)
	for scanner.Scan() {
		lines = append(lines, strings.ToValidUTF8(strings.TrimRight(scanner.Text(), "\r"), "�"))
	}
	return lines, scanner.Err()
}

// between reports whether a container has crashed and waits to be restarted.
func between(p *corev1.Pod, container string) bool {
	for _, s := range Statuses(p) {
		if s.Name == container {
			return s.State.Terminated == nil && s.State.Running == nil && s.RestartCount > 0
		}
	}
	return false
}
