package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"

	"github.com/pipelinefile/pipe/runtime"
)

// Helm's driver writes the Secrets of revisions without checking whether they have
// changed since they were read. If a process is suspended, a write that it sends while it
// holds the lease may be carried out when another run holds it, and would overwrite what
// that run wrote. So each write names the version that was read, and conflicts in this
// case. A write whose answer was lost also conflicts when it is repeated: the content on
// the server tells the two cases apart.

// A version identifies the state of a Secret that was last read or written.
type version struct {
	uid types.UID
	of  string // its resourceVersion
}

// versioned is the client for the Secrets of one namespace that Helm's driver uses. The
// driver does not pass on contexts, so versioned has its own.
type versioned struct {
	typedcorev1.SecretInterface
	meta     metadata.ResourceInterface // of the same Secrets
	requests func() context.Context     // for writes
	known    map[string]version         // by name
}

func (v *versioned) know(m metav1.Object) {
	v.known[m.GetName()] = version{m.GetUID(), m.GetResourceVersion()}
}

// Get implements [typedcorev1.SecretInterface].
func (v *versioned) Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error) {
	s, err := v.SecretInterface.Get(ctx, name, opts)
	if err == nil {
		v.know(s)
	}
	return s, err
}

// Create implements [typedcorev1.SecretInterface].
func (v *versioned) Create(_ context.Context, s *corev1.Secret, opts metav1.CreateOptions) (*corev1.Secret, error) {
	ctx := v.requests()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	made, err := v.SecretInterface.Create(ctx, s, opts)
	if apierrors.IsAlreadyExists(err) {
		made, err = v.sent(ctx, s, err)
	}
	if err == nil {
		v.know(made)
	}
	return made, err
}

// Update implements [typedcorev1.SecretInterface].
func (v *versioned) Update(_ context.Context, s *corev1.Secret, opts metav1.UpdateOptions) (*corev1.Secret, error) {
	ctx, was, err := v.write(s.Name)
	if err != nil {
		return nil, err
	}
	s = s.DeepCopy()
	s.UID, s.ResourceVersion = was.uid, was.of
	made, err := v.SecretInterface.Update(ctx, s, opts)
	if apierrors.IsConflict(err) {
		made, err = v.sent(ctx, s, changed(s.Name, err))
	}
	if err == nil {
		v.know(made)
	}
	return made, err
}

// write returns the context and the version for a write of a Secret that was read.
func (v *versioned) write(name string) (ctx context.Context, was version, err error) {
	if ctx = v.requests(); ctx.Err() != nil {
		return nil, was, context.Cause(ctx)
	}
	was, ok := v.known[name]
	if !ok {
		err = fmt.Errorf("write Secret %s: it was not read", name)
	}
	return ctx, was, err
}

// sent returns the Secret of the server if it equals s: then the write was carried out
// before, and only its answer was lost. Otherwise it returns err.
func (v *versioned) sent(ctx context.Context, s *corev1.Secret, err error) (*corev1.Secret, error) {
	is, getErr := v.SecretInterface.Get(ctx, s.Name, metav1.GetOptions{})
	if getErr != nil || !maps.Equal(is.Labels, s.Labels) || !reflect.DeepEqual(is.Data, s.Data) {
		return nil, err
	}
	return is, nil
}

// changed returns the error that a Secret has changed since it was read.
func changed(name string, err error) error {
	return fmt.Errorf("Secret %s: %w: another run has written it: %w", name, runtime.ErrConflict, err)
}

// Delete implements [typedcorev1.SecretInterface]. It succeeds if the Secret is not found.
func (v *versioned) Delete(_ context.Context, name string, opts metav1.DeleteOptions) error {
	ctx, was, err := v.write(name)
	if err != nil {
		return err
	}
	opts.Preconditions = &metav1.Preconditions{UID: &was.uid, ResourceVersion: &was.of}
	err = v.SecretInterface.Delete(ctx, name, opts)
	switch {
	case apierrors.IsConflict(err):
		return changed(name, err)
	case err != nil && !apierrors.IsNotFound(err):
		return err
	}
	delete(v.known, name)
	return nil
}

// label sets labels of a Secret, or removes those whose value is nil.
func (v *versioned) label(name string, labels map[string]any) error {
	ctx, was, err := v.write(name)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": was.of, "labels": labels}})
	if err != nil {
		return err
	}
	made, err := v.meta.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if apierrors.IsConflict(err) {
		is, getErr := v.meta.Get(ctx, name, metav1.GetOptions{})
		if getErr != nil || is.UID != was.uid || !hasLabels(is.Labels, labels) {
			return changed(name, err)
		}
		made, err = is, nil
	}
	if err == nil {
		v.know(made)
	}
	return err
}

// hasLabels reports whether have already has the labels that a patch would set.
func hasLabels(have map[string]string, want map[string]any) bool {
	for key, value := range want {
		is, ok := have[key]
		if value == nil && ok || value != nil && is != value {
			return false
		}
	}
	return true
}
