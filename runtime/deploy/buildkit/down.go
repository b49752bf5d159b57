package buildkit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"

	"github.com/pipelinefile/pipe/runtime/internal/namespaced"
)

// Going is what Down deletes.
type Going struct {
	Namespace string
	Builders  []string
	Caches    []string // the claims of the volumes, which Down keeps unless caches is set
}

// Going returns what Down deletes. If there is nothing, the error is a *MissingError; if the
// objects are of others, it is a *ForeignError.
func (f *Farm) Going(ctx context.Context) (*Going, error) {
	g := &Going{f.namespace, []string{}, []string{}}
	set, err := f.set(ctx)
	var missing *MissingError
	if err != nil && !errors.As(err, &missing) {
		return nil, err
	}
	claims, err := f.claims(ctx)
	if err != nil {
		return nil, err
	}
	if set == nil && len(claims) == 0 {
		// An Up that was interrupted may have left the namespace, or the Secrets in another one.
		secret, err := f.secret(ctx, secretAuthority)
		if err != nil {
			return nil, err
		}
		if n, err := f.client.CoreV1().Namespaces().Get(ctx, f.namespace, metav1.GetOptions{}); secret.ResourceVersion == "" && (err != nil || n.Labels[labelKind] != kindNamespace) {
			return nil, missing
		}
	}
	for _, c := range claims {
		g.Caches = append(g.Caches, c.Name)
	}
	builders, err := f.builders(ctx)
	for _, b := range builders {
		g.Builders = append(g.Builders, b.Name)
	}
	return g, err
}

// Down deletes the builders, which end the builds that they run, and, with caches, also their
// volumes, and the namespace if it was created for them and nothing else is in it. kept is why
// the namespace is kept then; empty: it is deleted.
func (f *Farm) Down(ctx context.Context, caches bool) (kept string, err error) {
	objects, err := Defaults().objects(f.namespace, "")
	if err != nil {
		return "", err
	}
	slices.Reverse(objects) // the builders first, so that no run finds what does not work
	for _, u := range objects {
		found, err := f.of(u).Get(ctx, u.GetName(), metav1.GetOptions{})
		if err == nil && ours(found) {
			err = f.of(u).Delete(ctx, u.GetName(), deletion(found))
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return "", explain(err)
		}
	}
	for _, name := range []string{secretClient, secretServer, secretAuthority} {
		found, err := f.secret(ctx, name)
		if err == nil && found.ResourceVersion != "" && ours(found) {
			err = f.client.CoreV1().Secrets(f.namespace).Delete(ctx, name, deletion(found))
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return "", explain(err)
		}
	}
	if !caches {
		return "", nil
	}
	claims, err := f.claims(ctx)
	if err != nil {
		return "", err
	}
	for i := range claims {
		// It is deleted when its pod is.
		err := f.client.CoreV1().PersistentVolumeClaims(f.namespace).Delete(ctx, claims[i].Name, deletion(&claims[i]))
		if err != nil && !apierrors.IsNotFound(err) {
			return "", explain(err)
		}
	}
	return f.deleteNamespace(ctx)
}

// deletion deletes exactly the object that was read.
func deletion(m metav1.Object) metav1.DeleteOptions {
	uid := m.GetUID()
	background := metav1.DeletePropagationBackground
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background}
}

// claims returns the claims of volumes of the builders.
func (f *Farm) claims(ctx context.Context) ([]corev1.PersistentVolumeClaim, error) {
	list, err := f.client.CoreV1().PersistentVolumeClaims(f.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels()}),
	})
	if err != nil {
		return nil, explain(err)
	}
	return list.Items, nil
}

// deleteNamespace deletes the namespace, unless it was not created for builders or has other
// objects.
func (f *Farm) deleteNamespace(ctx context.Context) (kept string, err error) {
	found, err := f.client.CoreV1().Namespaces().Get(ctx, f.namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case apierrors.IsForbidden(err):
		return "you have no permission to read it", nil
	case err != nil:
		return "", explain(err)
	case found.Labels[labelKind] != kindNamespace:
		return "pipe has not created it", nil
	}
	others, err := f.others(ctx)
	if err != nil {
		return "", err
	}
	if len(others) > 0 {
		return "pipe has not created all that is in it: " + namespaced.Some(others), nil
	}
	err = f.client.CoreV1().Namespaces().Delete(ctx, f.namespace, deletion(found))
	switch {
	case apierrors.IsForbidden(err):
		return "you have no permission to delete it", nil
	case apierrors.IsNotFound(err):
		return "", nil
	}
	return "", explain(err)
}

// others returns the objects in the namespace that are not of builders. Kinds that cannot be
// listed count as well.
func (f *Farm) others(ctx context.Context) ([]string, error) {
	client, err := metadata.NewForConfig(f.config)
	if err != nil {
		return nil, err
	}
	kinds, err := namespaced.Kinds(f.client.Discovery())
	var others []string
	if err != nil {
		if !discovery.IsGroupDiscoveryFailedError(err) {
			return nil, explain(err)
		}
		others = append(others, fmt.Sprintf("kinds that the API server could not list (%v)", err))
	}
	for _, l := range namespaced.List(ctx, client, f.namespace, kinds) {
		switch {
		case apierrors.IsForbidden(l.Err):
			others = append(others, l.Resource.Resource+", which you have no permission to list")
		case l.Err != nil && !apierrors.IsNotFound(l.Err) && !apierrors.IsMethodNotSupported(l.Err):
			return nil, fmt.Errorf("list %s: %w", l.Resource.Resource, l.Err)
		}
		for i := range l.Objects {
			if m := &l.Objects[i]; !ours(m) && l.Resource.Resource != "events" && !l.ByCluster(m) {
				others = append(others, l.Name(m.Name))
			}
		}
	}
	slices.Sort(others)
	return slices.Compact(others), nil
}
