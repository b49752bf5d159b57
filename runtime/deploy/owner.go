package deploy

import (
	"context"
	"encoding/json"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// owner returns the environment that owns the release, or the zero key if that is not
// recorded.
func (r *records) owner() (runtime.EnvironmentKey, error) {
	for _, rev := range slices.Backward(r.history) {
		if owner := runtime.OwnerOf(rev.Labels); owner != (runtime.EnvironmentKey{}) {
			return owner, nil
		}
	}
	last := len(r.history) - 1
	if last < 0 || r.history[last].Labels[observe.LabelFingerprint] == "" {
		return runtime.EnvironmentKey{}, nil
	}
	rel, err := r.full(r.history[last])
	if err != nil {
		return runtime.EnvironmentKey{}, err
	}
	return observe.ToldTo(rel.Config), nil
}

// ours returns an *OwnedError if the release belongs to another environment than that
// of the operation.
func (o *operation) ours() error {
	owner, err := o.records.owner()
	key := keyOf(o.r)
	if err != nil || owner == key.Owner() || owner == (runtime.EnvironmentKey{}) {
		return err
	}
	return &runtime.OwnedError{Key: key, Kind: "release", Name: o.r.Service.Name, Owner: owner}
}

func keyOf(r runtime.Release) runtime.EnvironmentKey {
	return runtime.EnvironmentKey{Pipeline: r.Pipeline, Name: r.Environment}.At(r.Namespace)
}

// disown removes the labels from a namespace that is kept when its environment is
// removed, so that another environment can use it. Without the permission to do that,
// it leaves the namespace unchanged.
func (d *Deployer) disown(ctx context.Context, namespace string, key runtime.EnvironmentKey) error {
	for {
		n, err := d.cluster.Typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || err == nil && runtime.OwnerOf(n.Labels) != key.Owner() {
			return nil
		}
		if err != nil {
			return d.explain(ctx, err)
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"resourceVersion": n.ResourceVersion,
			"labels":          map[string]any{runtime.LabelPipeline: nil, runtime.LabelEnvironment: nil},
		}})
		if err != nil {
			return err
		}
		_, err = d.cluster.Typed.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		switch {
		case err == nil, apierrors.IsNotFound(err), apierrors.IsForbidden(err):
			return nil
		case !apierrors.IsConflict(err):
			return d.explain(ctx, err)
		}
	}
}
