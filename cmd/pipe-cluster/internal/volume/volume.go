// Package volume creates a directory for every requested persistent volume, and removes it with the
// volume.
package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-helpers/storage/volume"
)

// ClassName is the name of the default StorageClass.
const ClassName = "local"

// ProvisionerName is the name of this provisioner in StorageClasses.
const ProvisionerName = "pipe-cluster/local"

// Provisioner provisions volumes for claims of StorageClasses that name it.
type Provisioner struct {
	API kubernetes.Interface
	// Root is the directory that contains the volumes' directories. If it is empty, none are created,
	// because no pods run that use them.
	Root string
	// Node is the name of the node that has the volumes.
	Node string

	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	queue   workqueue.TypedRateLimitingInterface[key]
	events  record.EventRecorder
}

// key identifies an object in the queue: a claim if it has a namespace, otherwise a volume.
type key struct{ namespace, name string }

// Class returns the default StorageClass.
func Class() *storagev1.StorageClass {
	wait, del := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        ClassName,
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner:       ProvisionerName,
		VolumeBindingMode: &wait,
		ReclaimPolicy:     &del,
	}
}

// Run provisions and removes volumes until the context ends.
func (p *Provisioner) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(p.API, 0)
	claims := factory.Core().V1().PersistentVolumeClaims()
	volumes := factory.Core().V1().PersistentVolumes()
	classes := factory.Storage().V1().StorageClasses()
	p.claims, p.volumes, p.classes = claims.Lister(), volumes.Lister(), classes.Lister()
	p.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[key](100*time.Millisecond, 30*time.Second))

	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: p.API.CoreV1().Events("")})
	defer broadcaster.Shutdown()
	p.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: ProvisionerName})

	add := func(obj any) {
		if m, ok := obj.(metav1.Object); ok {
			p.queue.Add(key{m.GetNamespace(), m.GetName()})
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, obj any) { add(obj) }}
	for _, i := range []cache.SharedIndexInformer{claims.Informer(), volumes.Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return fmt.Errorf("list %v: %w", kind, context.Cause(ctx))
		}
	}
	defer context.AfterFunc(ctx, p.queue.ShutDown)()
	for {
		k, down := p.queue.Get()
		if down {
			return nil
		}
		if err := p.sync(ctx, k); err != nil && ctx.Err() == nil {
			p.queue.AddRateLimited(k)
		} else {
			p.queue.Forget(k)
		}
		p.queue.Done(k)
	}
}

func (p *Provisioner) sync(ctx context.Context, k key) error {
	if k.namespace != "" {
		claim, err := p.claims.PersistentVolumeClaims(k.namespace).Get(k.name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.provision(ctx, claim); err != nil {
			p.events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", err.Error())
			return err
		}
		return nil
	}
	pv, err := p.volumes.Get(k.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.remove(ctx, pv); err != nil {
		p.events.Event(pv, corev1.EventTypeWarning, "VolumeFailedDelete", err.Error())
		return err
	}
	return nil
}

// provision creates the volume of a claim that waits for one from this provisioner.
func (p *Provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Annotations[volume.AnnStorageProvisioner] != ProvisionerName {
		return nil
	}
	class, err := p.classes.Get(volume.GetPersistentVolumeClaimClass(claim))
	if err != nil {
		return err
	}
	if class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer &&
		claim.Annotations[volume.AnnSelectedNode] == "" {
		return nil // wait until a pod uses it
	}
	if claim.Spec.Selector != nil {
		return errors.New("a selector is not served: remove spec.selector from the claim")
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return errors.New("block volumes are not served: set volumeMode to Filesystem")
	}
	name := "pvc-" + string(claim.UID)
	if _, err := p.volumes.Get(name); err == nil {
		return nil // it is being bound
	}
	path := filepath.Join("/", name)
	if p.Root != "" {
		path = filepath.Join(p.Root, name)
		if err := makeFolder(path); err != nil {
			return err
		}
	}
	_, err = p.API.CoreV1().PersistentVolumes().Create(ctx, p.volume(name, path, claim, class), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		p.events.Eventf(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "made volume %s", name)
	}
	return err
}

func (p *Provisioner) volume(name, path string, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{volume.AnnDynamicallyProvisioned: ProvisionerName},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			StorageClassName:              class.Name,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			// Among the volume types that are a directory of the node, only this one supports fsGroup.
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{p.Node},
				}},
			}}}},
		},
	}
	if class.ReclaimPolicy != nil {
		pv.Spec.PersistentVolumeReclaimPolicy = *class.ReclaimPolicy
	}
	return pv
}

// remove deletes a volume whose claim was deleted.
func (p *Provisioner) remove(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Status.Phase != corev1.VolumeReleased || pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete ||
		pv.Annotations[volume.AnnDynamicallyProvisioned] != ProvisionerName || pv.DeletionTimestamp != nil {
		return nil
	}
	// The path in the object is not trusted: a user who can edit volumes could make root remove any
	// directory.
	if p.Root != "" {
		if err := os.RemoveAll(filepath.Join(p.Root, pv.Name)); err != nil {
			return err
		}
	}
	err := p.API.CoreV1().PersistentVolumes().Delete(ctx, pv.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pv.UID))})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// makeFolder creates a directory that pods of any user can write to.
func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	return os.Chmod(path, 0o777) // the umask applies to the mode of MkdirAll
}
