package observe

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

// A Cache contains the current workloads of one namespace. It has one watch for each kind,
// shared by all releases of the namespace that wait at the same time. If a watch breaks,
// client-go restarts it with backoff; until then the cache contains the last known state.
type Cache struct {
	run  func(cache.SharedIndexInformer) // starts an informer
	Stop func()                          // stops all watches and returns when they have ended

	mu      sync.Mutex
	objects map[string]cache.Indexer    // by kind
	listed  map[string]func() bool      // by kind: whether the initial list is complete
	errs    map[string]error            // by kind: why its watch does not work now
	readers map[chan struct{}]bool      // get a token for each change; each holds at most one token
	last    map[types.UID]metav1.Object // the last state of deleted objects; see Deleted
	order   []types.UID                 // of last, oldest first
	users   int                         // guarded by Caches.mu
}

// byOwner is the index of objects by the UID of their controller, and of events by the UID of
// the object that they are about.
const byOwner = "owner"

// FailedCreate is the kind under which a cache keeps the events about pods that cannot be
// created, because of a quota or a webhook for example.
const FailedCreate = "FailedCreate"

// watched are the kinds that a cache can watch.
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
	FailedCreate: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		only := func(o *metav1.ListOptions) { o.FieldSelector = "reason=" + FailedCreate }
		return coreinformers.NewFilteredEventInformer(c, namespace, 0, owners(), only)
	},
	SecretKind: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		notHelms := func(o *metav1.ListOptions) { o.LabelSelector = NotHelm }
		return coreinformers.NewFilteredSecretInformer(c, namespace, 0, owners(), notHelms)
	},
	Claims: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		return coreinformers.NewPersistentVolumeClaimInformer(c, namespace, 0, owners())
	},
	ClaimEvents: func(c kubernetes.Interface, namespace string) cache.SharedIndexInformer {
		only := func(o *metav1.ListOptions) { o.FieldSelector = "involvedObject.kind=PersistentVolumeClaim" }
		return coreinformers.NewFilteredEventInformer(c, namespace, 0, owners(), only)
	},
}

// The kinds under which a cache keeps claims and the events about claims.
const (
	Claims      = "PersistentVolumeClaim"
	ClaimEvents = "PersistentVolumeClaim events"
)

// SecretKind is the kind under which a cache keeps the Secrets that are not records of Helm.
const (
	SecretKind = "Secret"
	NotHelm    = "owner!=helm"
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

// Caches are the caches in use, by namespace.
type Caches struct {
	mu   sync.Mutex
	open map[string]*Cache // by namespace
}

// Of returns the cache of a namespace, which watches at least the given kinds. The caller
// must call done.
func (vs *Caches) Of(c *Cluster, namespace string, kinds []string) (v *Cache, done func()) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.open == nil {
		vs.open = make(map[string]*Cache)
	}
	v = vs.open[namespace]
	if v == nil {
		v = newCache()
		vs.open[namespace] = v
	}
	v.users++
	for _, kind := range kinds {
		v.show(kind, func() cache.SharedIndexInformer { return watched[kind](c.Watching, namespace) })
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
			v.Stop()
		}
	}
}

func newCache() *Cache {
	v := &Cache{
		objects: make(map[string]cache.Indexer),
		listed:  make(map[string]func() bool),
		errs:    make(map[string]error),
		readers: make(map[chan struct{}]bool),
		last:    make(map[types.UID]metav1.Object),
	}
	// A Cache ends with its last user, not with the context of the first one. The zero logger
	// writes nothing: errors are recorded in errs.
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	var wg sync.WaitGroup
	v.run = func(i cache.SharedIndexInformer) { wg.Go(func() { i.RunWithContext(ctx) }) }
	v.Stop = func() {
		cancel()
		wg.Wait()
	}
	return v
}

// NewFixed returns a cache of all kinds that watches nothing. Its objects are added directly
// to its indexes, for example by tests.
func NewFixed() *Cache {
	v := newCache()
	for kind := range watched {
		v.objects[kind] = cache.NewIndexer(cache.MetaNamespaceKeyFunc, owners())
	}
	return v
}

// show starts to watch a kind, unless it is watched already.
func (v *Cache) show(kind string, informer func() cache.SharedIndexInformer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.objects[kind] != nil {
		return
	}
	i := informer()
	v.objects[kind], v.listed[kind] = i.GetIndexer(), i.HasSynced
	// These fail only after the informer has started.
	_ = i.SetTransform(withoutManagedFields)
	_ = i.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { v.Changed(kind, err) })
	_, _ = i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { v.Changed(kind, nil) },
		UpdateFunc: func(any, any) { v.Changed(kind, nil) },
		DeleteFunc: func(obj any) { v.Deleted(kind, obj) },
	})
	v.run(i)
}

// withoutManagedFields removes the managed fields, which are not used here and are half of an
// object.
func withoutManagedFields(obj any) (any, error) {
	if m, err := meta.Accessor(obj); err == nil {
		m.SetManagedFields(nil)
	}
	return obj, nil
}

// Changed records a change of a kind: a changed object, or an error of its watch.
func (v *Cache) Changed(kind string, err error) {
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
		default: // it has a token already
		}
	}
}

// Read registers a channel that receives a token after each change.
func (v *Cache) Read(changes chan struct{}) (done func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.readers[changes] = true
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.readers, changes)
	}
}

// Err returns the error of the watch of one of the kinds, or nil.
func (v *Cache) Err(kinds ...string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(v.errs)) {
		if slices.Contains(kinds, kind) {
			return v.errs[kind]
		}
	}
	return nil
}

// Synced reports whether the initial list of a kind is complete.
func (v *Cache) Synced(kind string) bool {
	v.mu.Lock()
	listed := v.listed[kind]
	v.mu.Unlock()
	return listed != nil && listed()
}

func (v *Cache) Index(kind string) cache.Indexer {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.objects[kind]
}

// Object returns an object of a kind, or nil.
func Object[T any](v *Cache, kind, namespace, name string) *T {
	index := v.Index(kind)
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

// Owned returns the objects of a kind whose controller is owner, sorted by name.
func Owned[T any](v *Cache, kind string, owner types.UID) []*T {
	index := v.Index(kind)
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

const (
	// remembered is the maximum number of deleted objects in a cache.
	remembered = 1000
)

// Deleted records that an object was deleted. Objects that a controller creates and deletes
// all the time are not kept, except the pods of jobs, which show how the jobs ended.
func (v *Cache) Deleted(kind string, obj any) {
	if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = last.Obj
	}
	if m, ok := obj.(metav1.Object); ok && kind != FailedCreate && kind != ClaimEvents {
		owner := metav1.GetControllerOfNoCopy(m)
		if owner == nil || owner.Kind == "Job" {
			v.Remember(m.GetUID(), m)
		}
	}
	v.Changed(kind, nil)
}

// Remember keeps the last state of a deleted object; nil: it was never seen.
func (v *Cache) Remember(uid types.UID, last metav1.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.last[uid]; !known {
		v.order = append(v.order, uid)
	}
	v.last[uid] = last
	if len(v.order) > remembered {
		delete(v.last, v.order[0])
		v.order = v.order[1:]
	}
}

// Gone reports whether the object with that UID was deleted, and returns its last state, or
// nil.
func (v *Cache) Gone(uid types.UID) (last metav1.Object, deleted bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last, deleted = v.last[uid]
	return last, deleted && uid != ""
}

// GoneOf returns the deleted pods of a job.
func (v *Cache) GoneOf(job types.UID) []*corev1.Pod {
	v.mu.Lock()
	defer v.mu.Unlock()
	var pods []*corev1.Pod
	for _, uid := range v.order {
		p, ok := v.last[uid].(*corev1.Pod)
		if !ok {
			continue
		}
		if owner := metav1.GetControllerOfNoCopy(p); owner != nil && owner.UID == job {
			pods = append(pods, p)
		}
	}
	return pods
}

// Lost reports whether a claim with that name was deleted while the cache was watching.
func (v *Cache) Lost(namespace, name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, last := range v.last {
		if c, ok := last.(*corev1.PersistentVolumeClaim); ok && c.Namespace == namespace && c.Name == name {
			return true
		}
	}
	return false
}
