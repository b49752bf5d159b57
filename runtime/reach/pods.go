package reach

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// labelService is the label that charts set on pods, by convention, to the name of their
// release, which is that of the service.
const labelService = "app.kubernetes.io/instance"

// byService is the index of pods by the service that they belong to.
const byService = "service"

// pods are the pods of a namespace, updated by a watch. A watch that fails is
// restarted with backoff; until then the last known state is used.
type pods struct {
	cache.Indexer
	stop func() // stops the watch, and returns when it has ended

	mu      sync.Mutex
	changed chan struct{} // closed at the next change; guarded by mu
	listed  bool          // all pods are known; guarded by mu
	err     error         // why they cannot be watched now, or nil; guarded by mu
	lost    int           // how often the watch was lost and restored; guarded by mu
}

// maxBackoff is the maximum backoff before the watch is restarted, so that it
// recovers quickly after sleep or a network outage.
const maxBackoff = 5 * time.Second

// errNoAnswer means that a request has ended without a response.
var errNoAnswer = errors.New("the cluster does not answer")

func watchPods(client kubernetes.Interface, namespace string) *pods {
	p := &pods{changed: make(chan struct{})}
	p.Indexer = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byService: func(obj any) ([]string, error) {
		if pod, ok := obj.(*corev1.Pod); ok && pod.Labels[labelService] != "" {
			return []string{pod.Labels[labelService]}, nil
		}
		return nil, nil
	}})
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (kruntime.Object, error) {
			list, err := client.CoreV1().Pods(namespace).List(ctx, o)
			if err != nil {
				p.failed(err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := client.CoreV1().Pods(namespace).Watch(ctx, o)
			if _, answered := w.(*watch.StreamWatcher); err == nil && !answered {
				p.failed(errNoAnswer) // client-go returns an empty watch in this case
			} else {
				p.failed(err)
			}
			return w, err
		},
	}
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, client), &corev1.Pod{}, p, cache.ReflectorOptions{
		Logger:  &klog.Logger{}, // the zero one writes nothing
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Cap: maxBackoff, Steps: 100, Factor: 2, Jitter: 0.2},
	})
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	var wg sync.WaitGroup
	wg.Go(func() { r.RunWithContext(ctx) })
	p.stop = func() {
		cancel()
		wg.Wait()
	}
	return p
}

// Add is called by the watch, as are Update, Delete and Replace.
func (p *pods) Add(obj any) error { return p.change(p.Indexer.Add(obj)) }

// Update replaces a pod.
func (p *pods) Update(obj any) error { return p.change(p.Indexer.Update(obj)) }

// Delete removes a pod.
func (p *pods) Delete(obj any) error { return p.change(p.Indexer.Delete(obj)) }

// Replace replaces all pods.
func (p *pods) Replace(objs []any, version string) error {
	err := p.Indexer.Replace(objs, version)
	p.mu.Lock()
	p.listed = true
	p.mu.Unlock()
	return p.change(err)
}

// wakeAll wakes all waiters because something other than the pods has changed.
func (p *pods) wakeAll() { _ = p.change(nil) }

// known returns when all pods are known, or with the error that prevents it.
func (p *pods) known(ctx context.Context) error {
	for {
		changed := p.next()
		listed, err := p.state()
		if listed || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// change wakes all waiters after a change.
func (p *pods) change(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake()
	return err
}

// failed records why the pods cannot be watched; nil: they can.
func (p *pods) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.err == nil {
		return
	}
	if err == nil {
		p.lost++
	}
	p.err = err
	p.wake()
}

// losses returns how often the watch was lost and restored.
func (p *pods) losses() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// wake wakes all waiters. The caller holds mu.
func (p *pods) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// next returns a channel that is closed at the next change.
func (p *pods) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// state returns whether all pods are known, and why they cannot be watched now.
func (p *pods) state() (listed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listed, p.err
}

// of returns the pods of a service, newest first.
func (p *pods) of(service string) []*corev1.Pod {
	objs, err := p.ByIndex(byService, service)
	if err != nil {
		return nil
	}
	found := make([]*corev1.Pod, 0, len(objs))
	for _, obj := range objs {
		if pod, ok := obj.(*corev1.Pod); ok {
			found = append(found, pod)
		}
	}
	slices.SortFunc(found, newestFirst)
	return found
}

func newestFirst(a, b *corev1.Pod) int {
	if c := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// ready reports whether a pod accepts connections and is not terminating.
func ready(p *corev1.Pod) bool {
	return running(p) && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// running reports whether a pod is running and not terminating.
func running(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil
}

// ended reports whether all containers of a pod have terminated permanently, like those
// of a job.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
