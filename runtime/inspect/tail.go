package inspect

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A Tail follows the logs of services, which may change in the meantime.
type Tail struct {
	inspector *Inspector
	home      string // the namespace of the environment
	show      *logShow
	ctx       context.Context
	stop      context.CancelFunc

	mu sync.Mutex
	of map[string]*namespaceTail // by namespace
}

// A namespaceTail follows the logs of services of one namespace.
type namespaceTail struct {
	logs *logs
	wake chan struct{} // has a token when the services have changed
	done chan struct{}
}

// A followed is a service that a Tail follows.
type followed struct {
	since time.Time
	old   map[containerKey]bool // the containers that had started when following began; nil: not known yet
}

// Tail returns a Tail of an environment that follows no services yet. It runs until Close.
// line and trouble are not called concurrently. trouble is called once for each cause, and may
// be nil. Values of Secrets are redacted like in [Inspector.Logs].
func (ins *Inspector) Tail(namespace string, line func(LogLine), trouble func(text string)) *Tail {
	ctx, stop := context.WithCancel(context.Background())
	t := &Tail{
		inspector: ins, home: namespace, show: newLogShow(ins.newHiding([]string{namespace}), line, trouble),
		ctx: ctx, stop: stop, of: make(map[string]*namespaceTail),
	}
	t.in(namespace)
	return t
}

// in returns the tail of a namespace, which is started if it does not exist.
func (t *Tail) in(namespace string) *namespaceTail {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.of[namespace]
	if n == nil && t.ctx.Err() == nil {
		show := t.show
		if namespace != t.home {
			show = newLogShow(t.inspector.newHiding([]string{t.home, namespace}), t.show.pass, t.show.passTrouble)
		}
		n = &namespaceTail{logs: t.inspector.newLogs(namespace, show), wake: make(chan struct{}, 1), done: make(chan struct{})}
		n.logs.services = make(map[string]*followed)
		t.of[namespace] = n
		go func() {
			defer close(n.done)
			if err := n.logs.followFrom(t.ctx, n.wake); err != nil && t.ctx.Err() == nil {
				show.ended(err)
			}
		}()
	}
	return n
}

// Follow starts to follow the logs of a service's pods, including future pods. Lines printed
// before are skipped. It does nothing if the service is already followed.
func (t *Tail) Follow(service runtime.Place) {
	n := t.in(service.Namespace)
	if n == nil { // it is closed
		return
	}
	n.logs.of.Lock()
	if n.logs.services[service.Name] == nil {
		n.logs.services[service.Name] = &followed{since: time.Now()}
	}
	n.logs.of.Unlock()
	n.poke()
}

// Forget stops following the logs of a service. A line that is read after it has returned
// is dropped.
func (t *Tail) Forget(service runtime.Place) {
	n := t.in(service.Namespace)
	if n == nil {
		return
	}
	n.logs.of.Lock()
	delete(n.logs.services, service.Name)
	n.logs.of.Unlock()
	n.poke()
}

func (n *namespaceTail) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Close stops following all logs. line is not called after it has returned.
func (t *Tail) Close() {
	t.mu.Lock()
	t.stop()
	all := slices.Collect(maps.Values(t.of))
	t.mu.Unlock()
	for _, n := range all {
		<-n.done
	}
}

// follow passes lines to give until ctx is done.
func (l *logs) follow(ctx context.Context) error { return l.followFrom(ctx, make(chan struct{}, 1)) }

// followFrom passes lines to give until ctx is done. It watches the pods, and checks again
// when wake has a token.
func (l *logs) followFrom(ctx context.Context, wake chan struct{}) error {
	v, done := l.inspector.caches.Of(l.inspector.cluster, l.namespace, []string{"Pod"})
	defer done()
	defer v.Read(wake)()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := make(map[containerKey]*follower)
	for {
		if err := v.Err("Pod"); err != nil && !observe.Unreachable(err) {
			return l.inspector.cluster.Explain(ctx, err)
		}
		var later <-chan time.Time
		if v.Synced("Pod") {
			l.take(ctx, v, all, wake, &wg)
		} else {
			later = time.After(syncLook)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wake:
		case <-later:
		}
	}
}

// syncLook is the interval for checking whether the pods of a namespace are known.
const syncLook = 100 * time.Millisecond

// take starts to read the logs of containers that have started, and stops reading those that
// are not requested any more.
func (l *logs) take(ctx context.Context, v *observe.Cache, all map[containerKey]*follower, wake chan struct{}, wg *sync.WaitGroup) {
	var pods []*corev1.Pod
	for _, obj := range v.Index("Pod").List() {
		if p, ok := obj.(*corev1.Pod); ok {
			pods = append(pods, p)
		}
	}
	l.settle(pods)
	there := make(map[containerKey]bool)
	for _, p := range pods {
		service, ok := l.wants(p)
		if !ok {
			continue
		}
		for _, c := range containersOf(p) {
			key := containerKey{string(p.UID), c}
			there[key] = true
			f := all[key]
			if f == nil {
				f = &follower{
					logs: l, key: key, pod: p, service: service, from: l.beginOf(service, key),
					state: func() logState {
						if now := observe.Object[corev1.Pod](v, "Pod", p.Namespace, p.Name); now != nil && now.UID == p.UID {
							return stateOf(now, c)
						}
						return logState{}
					},
				}
				all[key] = f
			}
			f.start(ctx, wake, wg)
		}
	}
	for key, f := range all {
		if !there[key] {
			if _, ok := l.wants(f.pod); !ok {
				f.stop()
			}
			delete(all, key) // it ends by itself if its pod is gone
		}
	}
}

// settle determines which containers had started when a service began to be followed.
func (l *logs) settle(pods []*corev1.Pod) {
	l.of.Lock()
	defer l.of.Unlock()
	for name, s := range l.services {
		if s == nil || s.old != nil {
			continue
		}
		s.old = make(map[containerKey]bool)
		for _, p := range pods {
			if serviceOf(p) != name {
				continue
			}
			for _, c := range containersOf(p) {
				s.old[containerKey{string(p.UID), c}] = true
			}
		}
	}
}

// beginOf returns where to begin in a log that has not been read yet.
func (l *logs) beginOf(service string, key containerKey) begin {
	l.of.Lock()
	defer l.of.Unlock()
	switch s := l.services[service]; {
	case s != nil && s.old[key]:
		return begin{since: s.since}
	case l.first[key]:
		return l.from()
	}
	return begin{}
}

// ended reports that logs are not followed any more.
func (l *logShow) ended(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report("logs are not followed any more: " + err.Error())
}
