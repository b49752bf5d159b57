package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/kube"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
)

// A helmClient is the client with which Helm writes the objects of an operation. Helm calls
// Build with the objects of the revision and with those of each hook, Create, Update or Delete
// with those that it writes, and Wait or WatchUntilReady when they are written. The operation
// decides what is waited for.
type helmClient struct {
	*objects
	o   *operation
	ctx context.Context // ends waits, but not requests; Helm passes none
}

var (
	_ kube.Interface                    = (*helmClient)(nil)
	_ kube.InterfaceExt                 = (*helmClient)(nil)
	_ kube.InterfaceDeletionPropagation = (*helmClient)(nil)
	_ kube.InterfaceThreeWayMerge       = (*helmClient)(nil)
)

// A rerun says which jobs are deleted and recreated when they are written, so that they run
// again.
type rerun int

const (
	rerunNone   rerun = iota
	rerunFailed       // those that have failed
	rerunEnded        // those that have ended
)

func (r rerun) of(job *batchv1.Job) bool {
	s := jobStatus(job)
	return r >= rerunFailed && s.failed != "" || r == rerunEnded && s.ready
}

// IsReachable returns nil: the first request will show it.
func (c *helmClient) IsReachable() error { return nil }

// Build reads objects. The server validates their fields when they are written.
func (c *helmClient) Build(r io.Reader, _ bool) (kube.ResourceList, error) {
	list, err := c.read(r)
	if err == nil {
		c.o.expect(list)
	}
	if err == nil && c.install {
		c.prefetch(list)
	}
	return list, err
}

// Create creates objects, concurrently for consecutive objects of the same
// kind, as Helm does.
func (c *helmClient) Create(list kube.ResourceList) (*kube.Result, error) {
	if len(list) == 0 {
		return nil, kube.ErrNoObjectsVisited
	}
	if c.install && c.o.rel == nil { // Helm installs the CRDs before it starts with the release
		if err := onlyCRDs(list); err != nil {
			return nil, err
		}
	}
	if err := c.each(list, c.create); err != nil {
		return nil, c.noteHook(list, err)
	}
	return &kube.Result{Created: list}, nil
}

// noteHook notes an error if it is one of the objects of a hook: Helm keeps only its text.
func (c *helmClient) noteHook(list kube.ResourceList, err error) error {
	if slices.ContainsFunc(list, isHook) {
		c.o.hookFailed(err)
	}
	return err
}

func (c *helmClient) create(info *resource.Info) error {
	if isHook(info) {
		return c.createHook(info)
	}
	return c.post(info)
}

// Update changes the objects to match target, and deletes those of original
// that are not in it. Fields that others set and target does not mention are
// kept.
func (c *helmClient) Update(original, target kube.ResourceList, _ bool) (*kube.Result, error) {
	result := &kube.Result{}
	c.scalers.ofRelease(original, target)
	for _, info := range c.o.leftover {
		if !original.Contains(info) {
			original = append(original, info)
		}
	}
	var mu sync.Mutex
	err := c.each(target, func(info *resource.Info) error {
		created, err := c.apply(original.Get(info), info)
		mu.Lock()
		defer mu.Unlock()
		if created {
			result.Created = append(result.Created, info)
		} else {
			result.Updated = append(result.Updated, info)
		}
		return err
	})
	if err != nil {
		return result, err
	}
	for _, info := range original.Difference(target) {
		deleted, err := c.drop(info)
		if err != nil {
			return result, err
		}
		if deleted {
			result.Deleted = append(result.Deleted, info)
		}
	}
	return result, nil
}

// apply changes one object to match info. before is the object in the last
// revision, or nil. What it does with an object that exists is what dryRun has checked.
func (c *helmClient) apply(before, info *resource.Info) (created bool, err error) {
	live, err := c.get(info)
	if apierrors.IsNotFound(err) {
		return true, c.create(info)
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", shortName(info), err)
	}
	if workloadKind(info) != "" && live.GetDeletionTimestamp() != nil {
		if err := c.awaitGone(info); err != nil {
			return false, err
		}
		return true, c.create(info)
	}
	decided, err := c.decide(c.requests(), before, info, live)
	switch {
	case err != nil:
		return false, err
	case decided.ownership == foreign:
		return false, &runtime.RefusedError{Release: c.release, Changes: []runtime.RefusedChange{*decided.refused}}
	}
	if job := asJob(live); job != nil && c.o.rerun.of(job) {
		if err := c.delete(info, metav1.DeletePropagationBackground); err != nil {
			return false, err
		}
		return true, c.create(info)
	}
	patch, kind, err := c.patchTo(decided.base, info, live)
	if err != nil {
		return false, err
	}
	if string(patch) == "{}" {
		c.wrote(info, live)
		return false, nil
	}
	obj, err := c.patch(info, kind, patch)
	if err != nil {
		return false, err
	}
	c.wrote(info, obj)
	return false, nil
}

// drop deletes an object that is no longer in the release, unless it has the
// keep policy.
func (c *helmClient) drop(info *resource.Info) (deleted bool, err error) {
	live, err := c.get(info)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", shortName(info), err)
	}
	if live.GetAnnotations()[kube.ResourcePolicyAnno] == kube.KeepPolicy {
		return false, nil
	}
	return true, c.delete(info, metav1.DeletePropagationBackground)
}

// delete deletes an object; it is not an error if the object does not exist.
func (c *helmClient) delete(info *resource.Info, policy metav1.DeletionPropagation) error {
	if isHook(info) {
		return c.deleteHook(info, policy)
	}
	return c.remove(info, &metav1.DeleteOptions{PropagationPolicy: &policy})
}

// Delete deletes objects.
func (c *helmClient) Delete(list kube.ResourceList) (*kube.Result, []error) {
	return c.DeleteWithPropagationPolicy(list, metav1.DeletePropagationBackground)
}

// DeleteWithPropagationPolicy deletes objects.
func (c *helmClient) DeleteWithPropagationPolicy(list kube.ResourceList, policy metav1.DeletionPropagation) (*kube.Result, []error) {
	err := c.each(list, func(info *resource.Info) error { return c.delete(info, policy) })
	if err != nil {
		return nil, []error{c.noteHook(list, err)}
	}
	return &kube.Result{Deleted: list}, nil
}

// Wait waits for objects if a hook runs after they are ready. Otherwise
// readiness is awaited after the release is written.
func (c *helmClient) Wait(list kube.ResourceList, _ time.Duration) error {
	return c.o.awaitForHooks(c.ctx, list)
}

// WaitWithJobs is Wait, including jobs.
func (c *helmClient) WaitWithJobs(list kube.ResourceList, _ time.Duration) error {
	return c.o.awaitForHooks(c.ctx, list)
}

// WatchUntilReady waits for the objects of a hook.
func (c *helmClient) WatchUntilReady(list kube.ResourceList, _ time.Duration) error {
	return c.o.awaitHook(c.ctx, list)
}

// WaitAndGetCompletedPodPhase is for helm test, which is not used here.
func (c *helmClient) WaitAndGetCompletedPodPhase(string, time.Duration) (corev1.PodPhase, error) {
	return corev1.PodUnknown, errors.ErrUnsupported
}

// WaitForDelete waits until objects are gone.
func (c *helmClient) WaitForDelete(list kube.ResourceList, _ time.Duration) error {
	for _, info := range list {
		if err := c.awaitGone(info); err != nil {
			return err
		}
	}
	return nil
}

// awaitGone waits until an object is gone, and reports the finalizers that keep it.
func (c *helmClient) awaitGone(info *resource.Info) error {
	ctx, stop := context.WithDeadlineCause(c.ctx, c.o.limit.end, c.o.limit.err())
	defer stop()
	what := ""
	err := c.until(ctx, info, func(u *unstructured.Unstructured) bool {
		if u == nil {
			return true
		}
		now := remainingObject{kind: strings.ToLower(u.GetKind()), name: u.GetName(), finalizers: u.GetFinalizers()}.String() + " to be gone"
		if now != what {
			what = now
			c.o.emit(runtime.WaitingFor{What: what})
		}
		return false
	})
	if err != nil {
		err = fmt.Errorf("wait for %s: %w", cmp.Or(what, shortName(info)+" to be gone"), err)
	}
	return err
}

// UpdateThreeWayMerge implements [kube.InterfaceThreeWayMerge], which Helm uses if a release
// adopts what exists.
func (c *helmClient) UpdateThreeWayMerge(original, target kube.ResourceList, force bool) (*kube.Result, error) {
	return c.Update(original, target, force)
}
