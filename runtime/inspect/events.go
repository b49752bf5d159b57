package inspect

import (
	"context"
	"slices"
	"strings"
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

// Happenings calls tell with the events of an environment's namespace: those that the cluster
// keeps, sorted by time, and with follow also new ones, until ctx is done. services are the
// possible prefixes of object names. Values of secrets are redacted, and events about
// releases of another environment are omitted.
func (ins *Inspector) Happenings(ctx context.Context, key runtime.EnvironmentKey, services []string, follow bool, tell func(Happening)) error {
	namespace := key.Namespace()
	others, err := ins.cluster.OthersIn(ctx, key)
	if err != nil {
		return err
	}
	services = slices.Concat(services, others)
	hide := ins.newHiding(namespace, services...)
	if err := hide.fresh(ctx, time.Now()); err != nil {
		return err
	}
	events := ins.cluster.Typed.CoreV1().Events(namespace)
	list, err := events.List(ctx, metav1.ListOptions{})
	if err != nil {
		return ins.cluster.Explain(ctx, err)
	}
	told := make(map[types.UID]string) // the last version passed to tell
	one := func(e *corev1.Event) {
		if told[e.UID] == e.ResourceVersion {
			return
		}
		told[e.UID] = e.ResourceVersion
		h := happening(e, services)
		if slices.Contains(others, h.Service) {
			return
		}
		h.Text = hide.text(ctx, h.Text)
		tell(h)
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return observe.EventTime(&a).Compare(observe.EventTime(&b)) })
	for i := range list.Items {
		one(&list.Items[i])
	}
	version := list.ResourceVersion
	for follow && ctx.Err() == nil {
		w, err := ins.cluster.Watching.CoreV1().Events(namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return ins.cluster.Explain(ctx, err)
		}
		again := false
		for ev := range w.ResultChan() {
			e, ok := ev.Object.(*corev1.Event)
			if !ok { // the version is too old, so list the events again
				again = true
				break
			}
			version = e.ResourceVersion
			if ev.Type == "ADDED" || ev.Type == "MODIFIED" {
				one(e)
			}
		}
		w.Stop()
		if again && ctx.Err() == nil {
			if list, err = events.List(ctx, metav1.ListOptions{}); err != nil {
				return ins.cluster.Explain(ctx, err)
			}
			for i := range list.Items {
				one(&list.Items[i])
			}
			version = list.ResourceVersion
		}
	}
	if follow {
		return context.Cause(ctx)
	}
	return nil
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
