package deploy

import (
	"context"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsinformers "k8s.io/client-go/informers/apps/v1"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// A view shows the workloads of one namespace as they are. One watch for each
// kind serves all releases of the namespace that wait at the same time. A watch
// that breaks is taken up again by client-go, with backoff; until then the
// view shows what was last seen.
type view struct {
	run  func(cache.SharedIndexInformer) // starts to watch
	stop func()                          // ends all watches and returns when they have ended

	mu      sync.Mutex
	objects map[string]cache.Indexer    // by kind
	listed  map[string]func() bool      // by kind: whether all objects that there were are known
	errs    map[string]error            // by kind: why its watch does not work now
	readers map[chan struct{}]bool      // told of every change; each holds one token at most
	last    map[types.UID]metav1.Object // deleted objects as they were last seen; see deleted
	order   []types.UID                 // of last, the oldest first
	users   int                         // guarded by views.mu
}

// byOwner is the index of objects by the UID of what controls them, and of
// events by that of what they are about.
const byOwner = "owner"

// failedCreate is the kind under which a view keeps the events that say that
// pods cannot be made: a quota is used up, a webhook refuses them.
const failedCreate = "FailedCreate"

// watched are the kinds that a view can show.
var watched = map[string]func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer{
	"Deployment": func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return appsinformers.NewDeploymentInformer(c, namespace, 0, owners())
	},
	"StatefulSet": func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return appsinformers.NewStatefulSetInformer(c, namespace, 0, owners())
	},
	"DaemonSet": func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return appsinformers.NewDaemonSetInformer(c, namespace, 0, owners())
	},
	"ReplicaSet": func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return appsinformers.NewReplicaSetInformer(c, namespace, 0, owners())
	},
	"Job": func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return batchinformers.NewJobInformer(c, namespace, 0, owners())
	},
	"Pod": func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return coreinformers.NewPodInformer(c, namespace, 0, owners())
	},
	failedCreate: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		only := func(o *metav1.ListOptions) { o.FieldSelector = "reason=" + failedCreate }
		return coreinformers.NewFilteredEventInformer(c, namespace, 0, owners(), only)
	},
	secretKind: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		notHelms := func(o *metav1.ListOptions) { o.LabelSelector = notHelm }
		return coreinformers.NewFilteredSecretInformer(c, namespace, 0, owners(), notHelms)
	},
	claims: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return coreinformers.NewPersistentVolumeClaimInformer(c, namespace, 0, owners())
	},
	claimEvents: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		only := func(o *metav1.ListOptions) { o.FieldSelector = "involvedObject.kind=PersistentVolumeClaim" }
		return coreinformers.NewFilteredEventInformer(c, namespace, 0, owners(), only)
	},
}

// secretKind is the kind under which a view shows Secrets that are no records of Helm.
const (
	secretKind = "Secret"
	notHelm    = "owner!=helm"
)

func owners() cache.Indexers {
	return cache.Indexers{byOwner: func(obj any) ([]string, error) {
		if e, ok := obj.(*corev1.Event); ok {
			return []string{string(e.InvolvedObject.UID)}, nil
		}
		m, err := meta.Accessor(obj)
		if err != nil {
			return nil, err
		}
		if owner := metav1.GetControllerOfNoCopy(m); owner != nil {
			return []string{string(owner.UID)}, nil
		}
		return nil, nil
	}}
}

// views are the views that are in use.
type views struct {
	mu   sync.Mutex
	open map[string]*view // by namespace
}

// of returns the view of a namespace, which shows at least the given kinds.
// Who is done with it calls done.
func (vs *views) of(c *cluster, namespace string, kinds []string) (v *view, done func()) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.open == nil {
		vs.open = make(map[string]*view)
	}
	v = vs.open[namespace]
	if v == nil {
		v = newView()
		vs.open[namespace] = v
	}
	v.users++
	for _, kind := range kinds {
		v.show(kind, func() cache.SharedIndexInformer { return watched[kind](c.watching, namespace) })
	}
	return v, func() {
		vs.mu.Lock()
		v.users--
		last := v.users == 0
		if last {
			delete(vs.open, namespace)
		}
		vs.mu.Unlock()
		if last {
			v.stop()
		}
	}
}

func newView() *view {
	v := &view{
		objects: make(map[string]cache.Indexer),
		listed:  make(map[string]func() bool),
		errs:    make(map[string]error),
		readers: make(map[chan struct{}]bool),
		last:    make(map[types.UID]metav1.Object),
	}
	// A view ends with its last user, not with the first one's context. The zero
	// logger writes nothing: errors come to errs.
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	var wg sync.WaitGroup
	v.run = func(i cache.SharedIndexInformer) { wg.Go(func() { i.RunWithContext(ctx) }) }
	v.stop = func() {
		cancel()
		wg.Wait()
	}
	return v
}

// show starts to watch a kind, unless it is watched.
func (v *view) show(kind string, informer func() cache.SharedIndexInformer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.objects[kind] != nil {
		return
	}
	i := informer()
	v.objects[kind], v.listed[kind] = i.GetIndexer(), i.HasSynced
	// These fail only on an informer that runs.
	_ = i.SetTransform(withoutManagedFields)
	_ = i.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { v.changed(kind, err) })
	_, _ = i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { v.changed(kind, nil) },
		UpdateFunc: func(any, any) { v.changed(kind, nil) },
		DeleteFunc: func(obj any) { v.deleted(kind, obj) },
	})
	v.run(i)
}

// withoutManagedFields leaves out what nobody reads here and what is half of an object.
func withoutManagedFields(obj any) (any, error) {
	if m, err := meta.Accessor(obj); err == nil {
		m.SetManagedFields(nil)
	}
	return obj, nil
}

// changed notes that there is something new of a kind: an object, or an error
// of its watch.
func (v *view) changed(kind string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		delete(v.errs, kind)
	} else {
		v.errs[kind] = err
	}
	for r := range v.readers {
		select {
		case r <- struct{}{}:
		default: // it knows already that there is something
		}
	}
}

// read registers a channel that gets a token whenever something has changed.
func (v *view) read(changes chan struct{}) (done func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.readers[changes] = true
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.readers, changes)
	}
}

// err returns why one of the kinds cannot be watched now, or nil.
func (v *view) err(kinds ...string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(v.errs)) {
		if slices.Contains(kinds, kind) {
			return v.errs[kind]
		}
	}
	return nil
}

// synced reports whether the objects of a kind are known that there were when it came
// to be watched.
func (v *view) synced(kind string) bool {
	v.mu.Lock()
	listed := v.listed[kind]
	v.mu.Unlock()
	return listed != nil && listed()
}

func (v *view) index(kind string) cache.Indexer {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.objects[kind]
}

// object returns an object of a kind, or nil.
func object[T any](v *view, kind, namespace, name string) *T {
	index := v.index(kind)
	if index == nil {
		return nil
	}
	obj, ok, err := index.GetByKey(namespace + "/" + name)
	if !ok || err != nil {
		return nil
	}
	out, _ := obj.(*T)
	return out
}

// owned returns the objects of a kind that owner controls, by name.
func owned[T any](v *view, kind string, owner types.UID) []*T {
	index := v.index(kind)
	if index == nil {
		return nil
	}
	objs, err := index.ByIndex(byOwner, string(owner))
	if err != nil {
		return nil
	}
	slices.SortFunc(objs, func(a, b any) int {
		am, _ := meta.Accessor(a)
		bm, _ := meta.Accessor(b)
		if am.GetName() < bm.GetName() {
			return -1
		}
		return 1
	})
	out := make([]*T, 0, len(objs))
	for _, obj := range objs {
		if t, ok := obj.(*T); ok {
			out = append(out, t)
		}
	}
	return out
}

// kindsFor returns the kinds that have to be watched to see workloads of the
// given kinds get ready.
func kindsFor(workloads []string) []string {
	need := map[string]bool{"Pod": true}
	for _, kind := range workloads {
		need[kind] = true
		switch kind {
		case "Deployment":
			need["ReplicaSet"] = true
		case "StatefulSet", "DaemonSet", "Job":
			need[failedCreate] = true
		}
	}
	return slices.Sorted(maps.Keys(need))
}
