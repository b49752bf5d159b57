package inspect

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A Happening is a Kubernetes event about an object of an environment.
type Happening struct {
	Time    time.Time `json:"time"`              // when it last happened
	Service string    `json:"service,omitempty"` // of the object; empty if its name does not show it
	Object  string    `json:"object"`            // such as "pod api-7d9c-x2x"
	Warning bool      `json:"warning,omitempty"`
	Reason  string    `json:"reason"` // such as "BackOff"
	Text    string    `json:"text"`
	Count   int       `json:"count"` // how often it has happened so far
}

// Happenings calls tell with the events of an environment's namespaces, not concurrently:
// those that the cluster keeps, sorted by time, and with follow also new ones, until ctx is
// done. Values of secrets are redacted, and events about releases of others are omitted. So
// are, in a further namespace that was not made for the environment, those whose service is
// not known.
func (ins *Inspector) Happenings(ctx context.Context, env *runtime.Environment, follow bool, tell func(Happening)) error {
	namespaces := env.AllNamespaces()
	var services []string
	if env.Plan != nil {
		for i := range env.Plan.Services {
			services = append(services, env.Plan.Services[i].Name)
		}
	}
	h := &happenings{inspector: ins, hide: ins.newHiding(namespaces, services...), tell: tell, told: make(map[types.UID]string)}
	if err := h.hide.fresh(ctx, time.Now()); err != nil {
		return err
	}
	var past []happened
	of := make([]*namespaceEvents, len(namespaces))
	for i, namespace := range namespaces {
		is, err := ins.members(ctx, env, namespace)
		if err != nil {
			return err
		}
		of[i] = &namespaceEvents{happenings: h, namespace: namespace, members: is, names: slices.Concat(is.own, is.others)}
		list, err := of[i].list(ctx)
		if err != nil {
			return err
		}
		for k := range list {
			past = append(past, happened{of[i], &list[k]})
		}
	}
	slices.SortStableFunc(past, func(a, b happened) int { return observe.EventTime(a.event).Compare(observe.EventTime(b.event)) })
	for _, e := range past {
		e.of.one(ctx, e.event)
	}
	if !follow {
		return nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, n := range of {
		wg.Go(func() { stop(n.follow(ctx)) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

// happenings are the events of the namespaces of an environment.
type happenings struct {
	inspector *Inspector
	hide      *hiding

	mu   sync.Mutex // serializes the calls of tell
	tell func(Happening)
	told map[types.UID]string // the last version passed to tell
}

// namespaceEvents are the events of one namespace.
type namespaceEvents struct {
	*happenings
	namespace string
	members   members
	names     []string // of all releases
	version   string   // of the last list or event
}

type happened struct {
	of    *namespaceEvents
	event *corev1.Event
}

func (n *namespaceEvents) list(ctx context.Context) ([]corev1.Event, error) {
	list, err := n.inspector.cluster.Typed.CoreV1().Events(n.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, n.inspector.cluster.Explain(ctx, err)
	}
	n.version = list.ResourceVersion
	return list.Items, nil
}

// one passes on an event, unless that was done or it is of others.
func (n *namespaceEvents) one(ctx context.Context, e *corev1.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told[e.UID] == e.ResourceVersion {
		return
	}
	n.told[e.UID] = e.ResourceVersion
	h := happening(e, n.names)
	if h.Service != "" && !n.members.has(h.Service) || h.Service == "" && !n.members.whole {
		return
	}
	h.Text = n.hide.text(ctx, h.Text)
	n.tell(h)
}

// follow passes on new events until ctx is done, and returns its cause.
func (n *namespaceEvents) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		w, err := n.inspector.cluster.Watching.CoreV1().Events(n.namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: n.version, AllowWatchBookmarks: true})
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return n.inspector.cluster.Explain(ctx, err)
		}
		again := false
		for ev := range w.ResultChan() {
			e, ok := ev.Object.(*corev1.Event)
			if !ok { // the version is too old, so list the events again
				again = true
				break
			}
			n.version = e.ResourceVersion
			if ev.Type == "ADDED" || ev.Type == "MODIFIED" {
				n.one(ctx, e)
			}
		}
		w.Stop()
		if again && ctx.Err() == nil {
			list, err := n.list(ctx)
			if err != nil {
				return err
			}
			for i := range list {
				n.one(ctx, &list[i])
			}
		}
	}
	return context.Cause(ctx)
}

func happening(e *corev1.Event, services []string) Happening {
	h := Happening{
		Time: observe.EventTime(e).UTC(), Object: strings.ToLower(e.InvolvedObject.Kind) + " " + e.InvolvedObject.Name,
		Warning: e.Type == corev1.EventTypeWarning, Reason: e.Reason, Text: observe.OneLine(e.Message), Count: max(1, int(e.Count)),
	}
	if e.Series != nil {
		h.Count = int(e.Series.Count)
	}
	for _, s := range services { // the longest matching name
		name := e.InvolvedObject.Name
		if (name == s || strings.HasPrefix(name, s+"-") || strings.HasPrefix(name, s+".")) && len(s) > len(h.Service) {
			h.Service = s
		}
	}
	return h
}
