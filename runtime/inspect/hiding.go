package inspect

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/internal/redact"
)

// A hiding takes the values of a namespace's Secrets out of what its pods and
// controllers say, for as long as that is read. A value that a Secret once had is
// taken out from then on.
type hiding struct {
	list func(ctx context.Context) (*corev1.SecretList, error)

	mu     sync.Mutex // guards what follows
	values redact.Values
	names  []string // that stay as they are
	cut    func(string) string
	read   time.Time // as of when the Secrets are known; zero: they are not
	tried  time.Time // when they were last asked for
}

// newHiding returns what leaves names, the name of the namespace and those of its
// Secrets as they are. It knows no Secrets yet.
func (ins *Inspector) newHiding(namespace string, names ...string) *hiding {
	h := &hiding{names: append(slices.Clone(names), namespace), list: func(ctx context.Context) (*corev1.SecretList, error) {
		// Those of Helm have no values of their own, and are large.
		list, err := ins.cluster.Typed.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner!=helm"})
		if err != nil {
			return nil, ins.cluster.Explain(ctx, err)
		}
		return list, nil
	}}
	h.cut = h.values.Except(h.names...)
	return h
}

// fresh reads the Secrets, unless they are known as they were at that time or later.
func (h *hiding) fresh(ctx context.Context, at time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.read.IsZero() && !h.read.Before(at) {
		return nil
	}
	return h.ask(ctx)
}

// ask reads the Secrets. It is called with the lock.
func (h *hiding) ask(ctx context.Context) error {
	h.tried = time.Now()
	list, err := h.list(ctx)
	if err != nil {
		return err
	}
	h.read = h.tried
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
	return nil
}

// secretsAge is how old may be what is known of Secrets when a line is shown. A
// container has the Secrets that there were when it was started, which are read
// then; this is for those that a running container reads: a kubelet takes longer to
// bring a change into a volume.
const secretsAge = 5 * time.Second

// text returns s without the values.
func (h *hiding) text(ctx context.Context, s string) string {
	h.mu.Lock()
	if time.Since(h.tried) > secretsAge && ctx.Err() == nil {
		_ = h.ask(ctx) // what is known is taken out all the same
	}
	cut := h.cut
	h.mu.Unlock()
	return cut(s)
}
