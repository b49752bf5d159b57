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

// A Cache shows the workloads of one namespace as they are. One watch for each
// kind serves all releases of the namespace that wait at the same time. A watch
// that breaks is taken up again by client-go, with backoff; until then the
// cache shows what was last seen.
type Cache struct {
	run  func(cache.SharedIndexInformer) // starts to watch
	Stop func()                          // ends all watches and returns when they have ended

	mu      sync.Mutex
	objects map[string]cache.Indexer    // by kind
	listed  map[string]func() bool      // by kind: whether all objects that there were are known
	errs    map[string]error            // by kind: why its watch does not work now
	readers map[chan struct{}]bool      // told of every change; each holds one token at most
	last    map[types.UID]metav1.Object // deleted objects as they were last seen; see deleted
	order   []types.UID                 // of last, the oldest first
	users   int                         // guarded by Caches.mu
}

// byOwner is the index of objects by the UID of what controls them, and of
// events by that of what they are about.
const byOwner = "owner"

// FailedCreate is the kind under which a cache keeps the events that say that
// pods cannot be made: a quota is used up, a webhook refuses them.
const FailedCreate = "FailedCreate"

// watched are the kinds that a cache can show.
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

// The kinds under which a cache keeps claims, and the events about them.
const (
	Claims      = "PersistentVolumeClaim"
	ClaimEvents = "PersistentVolumeClaim events"
)

// SecretKind is the kind under which a cache shows Secrets that are no records of Helm.
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

// Caches are the caches that are in use.
type Caches struct {
	mu   sync.Mutex
	open map[string]*Cache // by namespace
}

// Of returns the cache of a namespace, which shows at least the given kinds.
// Who is done with it calls done.
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
	// A Cache ends with its last user, not with the first one's context. The zero
	// logger writes nothing: errors come to errs.
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	var wg sync.WaitGroup
	v.run = func(i cache.SharedIndexInformer) { wg.Go(func() { i.RunWithContext(ctx) }) }
	v.Stop = func() {
		cancel()
		wg.Wait()
	}
	return v
}

// NewFixed returns a cache of all kinds that watches nothing: what it shows is put into
// its indexes, as by tests.
func NewFixed() *Cache {
	v := newCache()
	for kind := range watched {
		v.objects[kind] = cache.NewIndexer(cache.MetaNamespaceKeyFunc, owners())
	}
	return v
}

// show starts to watch a kind, unless it is watched.
func (v *Cache) show(kind string, informer func() cache.SharedIndexInformer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.objects[kind] != nil {
		return
	}
	i := informer()
	v.objects[kind], v.listed[kind] = i.GetIndexer(), i.HasSynced
	// These fail only on an informer that runs.
	_ = i.SetTransform(withoutManagedFields)
	_ = i.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { v.Changed(kind, err) })
	_, _ = i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { v.Changed(kind, nil) },
		UpdateFunc: func(any, any) { v.Changed(kind, nil) },
		DeleteFunc: func(obj any) { v.Deleted(kind, obj) },
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

// Changed notes that there is something new of a kind: an object, or an error
// of its watch.
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
		default: // it knows already that there is something
		}
	}
}

// Read registers a channel that gets a token whenever something has changed.
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

// Err returns why one of the kinds cannot be watched now, or nil.
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

// Synced reports whether the objects of a kind are known that there were when it came
// to be watched.
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

// Owned returns the objects of a kind that owner controls, by name.
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
	// remembered is how many deleted objects a cache keeps.
	remembered = 1000
)

// Deleted notes that an object was deleted. What a controller makes and deletes all
// the time is not kept, but for the pods of jobs, which tell how these ended.
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

// Remember keeps how a deleted object was last seen; nil: it never was.
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

// Gone reports whether the object with that UID was deleted, and how it was last
// seen, or nil.
func (v *Cache) Gone(uid types.UID) (last metav1.Object, deleted bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last, deleted = v.last[uid]
	return last, deleted && uid != ""
}

// GoneOf returns the pods of a job that were deleted.
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

// Lost reports whether a claim of that name was deleted while the cache watched.
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
