package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/resource"
)

// until watches one object of any kind until done returns true. If ctx ends first, it
// returns the cause. done gets nil while the object does not exist. There are only few
// such watches: for objects that are being deleted, and for kinds that only the server
// knows.
func until(ctx context.Context, info *resource.Info, done func(*unstructured.Unstructured) bool) error {
	request := func() (version string, satisfied bool, err error) {
		obj, err := info.Client.Get().NamespaceIfScoped(info.Namespace, info.Namespaced()).
			Resource(info.Mapping.Resource.Resource).Name(info.Name).Do(ctx).Get()
		if apierrors.IsNotFound(err) {
			return "0", done(nil), nil
		}
		if err != nil {
			return "", false, err
		}
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return "", false, fmt.Errorf("the server answered with a %T", obj)
		}
		return u.GetResourceVersion(), done(u), nil
	}
	for ctx.Err() == nil {
		version, satisfied, err := request()
		if satisfied {
			return nil
		}
		if err == nil {
			satisfied, err = follow(ctx, info, version, done)
		}
		if satisfied {
			return nil
		}
		if err != nil { // the connection is lost, or the server restarts
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
	return context.Cause(ctx)
}

// until does the same for an object of a release. It asks the server, not the prefetched
// state.
func (o *objects) until(ctx context.Context, info *resource.Info, done func(*unstructured.Unstructured) bool) error {
	asked := *info
	asked.Client = o.direct(info)
	return until(ctx, &asked, done)
}

// follow watches one object from a version on until done returns true or the watch ends.
func follow(ctx context.Context, info *resource.Info, version string, done func(*unstructured.Unstructured) bool) (bool, error) {
	w, err := info.Client.Get().NamespaceIfScoped(info.Namespace, info.Namespaced()).
		Resource(info.Mapping.Resource.Resource).
		VersionedParams(&metav1.ListOptions{
			Watch: true, ResourceVersion: version,
			FieldSelector: fields.OneTermEqualSelector("metadata.name", info.Name).String(),
		}, metav1.ParameterCodec).
		Watch(ctx)
	if err != nil {
		return false, err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		switch e.Type {
		case watch.Error:
			return false, apierrors.FromObject(e.Object)
		case watch.Deleted:
			if done(nil) {
				return true, nil
			}
		default:
			if u, ok := e.Object.(*unstructured.Unstructured); ok && done(u) {
				return true, nil
			}
		}
	}
	return false, errors.New("the watch ended")
}

// isGone reports whether the object that was written as info was deleted, or is being
// deleted. u is the object that the server has under this name, or nil.
func isGone(info *resource.Info, u *unstructured.Unstructured) bool {
	if u == nil || u.GetDeletionTimestamp() != nil {
		return true
	}
	written, ok := info.Object.(*unstructured.Unstructured)
	return ok && written.GetUID() != "" && written.GetUID() != u.GetUID()
}
