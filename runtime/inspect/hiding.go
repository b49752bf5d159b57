package inspect

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/internal/redact"
)

// A hiding redacts the values of the Secrets of namespaces in the output of their pods and
// controllers. Values that a Secret had earlier stay redacted.
type hiding struct {
	list func(ctx context.Context) (*corev1.SecretList, error)

	mu     sync.Mutex // guards the fields below
	values redact.Values
	names  []string // are not redacted
	cut    func(string) string
	read   time.Time // when the Secrets were last read; zero: never
	tried  time.Time // when the last attempt to read them began
}

// newHiding returns a hiding that does not redact names, the names of the namespaces and the
// names of their Secrets. It has not read any Secrets yet.
func (ins *Inspector) newHiding(namespaces []string, names ...string) *hiding {
	h := &hiding{names: slices.Concat(names, namespaces), list: func(ctx context.Context) (*corev1.SecretList, error) {
		all, errs := &corev1.SecretList{}, []error(nil)
		for _, namespace := range namespaces {
			// Secrets of Helm contain no additional values, and are large.
			list, err := ins.cluster.Typed.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner!=helm"})
			if err != nil {
				errs = append(errs, ins.cluster.Explain(ctx, err))
				continue
			}
			all.Items = append(all.Items, list.Items...)
		}
		return all, errors.Join(errs...)
	}}
	h.cut = h.values.Except(h.names...)
	return h
}

// fresh reads the Secrets, unless they were read at that time or later.
func (h *hiding) fresh(ctx context.Context, at time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.read.IsZero() && !h.read.Before(at) {
		return nil
	}
	return h.ask(ctx)
}

// ask reads the Secrets. The caller holds mu.
func (h *hiding) ask(ctx context.Context) error {
	h.tried = time.Now()
	list, err := h.list(ctx) // those that can be read, and why others cannot
	if err == nil {
		h.read = h.tried
	}
	known := len(h.names)
	for i := range list.Items {
		if name := list.Items[i].Name; !slices.Contains(h.names, name) {
			h.names = append(h.names, name)
		}
		_, credentials := list.Items[i].Data["password"]
		for key, v := range list.Items[i].Data {
			if credentials && redact.Public(key) {
				continue
			}
			h.values.Add(string(v))
		}
	}
	if len(h.names) > known {
		h.cut = h.values.Except(h.names...)
	}
	return err
}

// secretsAge is the maximum age of the known Secrets when a line is shown. Secrets are also
// read when a container starts, so this matters only for Secrets that a running container
// reads from a volume, which a kubelet updates with a longer delay.
const secretsAge = 5 * time.Second

// text returns s with the values redacted.
func (h *hiding) text(ctx context.Context, s string) string {
	h.mu.Lock()
	if time.Since(h.tried) > secretsAge && ctx.Err() == nil {
		_ = h.ask(ctx) // on an error, the known values are redacted
	}
	cut := h.cut
	h.mu.Unlock()
	return cut(s)
}
