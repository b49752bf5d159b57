package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/pipelinefile/pipe/runtime"
)

// resources are those of the objects of buildkit.yaml, by kind.
var resources = map[string]schema.GroupVersionResource{
	"Service":       {Version: "v1", Resource: "services"},
	"NetworkPolicy": {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	"StatefulSet":   {Group: "apps", Version: "v1", Resource: "statefulsets"},
}

// Up creates the builders, or changes existing ones to options that change makes from those
// that they have (I22). It renews certificates that expire soon. It writes no object that does
// not change. It returns when all builders are ready. If one cannot become ready, or nothing changes
// for 5 minutes, the error is a *NotReadyError, and the builders stay. Up calls report with what it waits for.
func (f *Farm) Up(ctx context.Context, change func(*Options), report func(string)) error {
	options, err := f.options(ctx, change)
	if err != nil {
		return err
	}
	if err := f.checkOwner(ctx, options); err != nil {
		return err
	}
	if err := f.createNamespace(ctx); err != nil {
		return err
	}
	// What the server refuses is found before anything is written.
	if err := f.apply(ctx, options, "", metav1.DryRunAll); err != nil {
		return err
	}
	digest, err := f.certify(ctx, time.Now())
	if err != nil {
		return err
	}
	if err := f.apply(ctx, options, digest); err != nil {
		return err
	}
	return f.await(ctx, report)
}

// apply applies the objects by server-side apply.
func (f *Farm) apply(ctx context.Context, o Options, certificate string, dryRun ...string) error {
	all, err := o.objects(f.namespace, certificate)
	if err != nil {
		return err
	}
	force := true // the labels say that they are ours
	for _, u := range all {
		data, err := json.Marshal(u)
		if err != nil {
			return err
		}
		_, err = f.of(u).Patch(ctx, u.GetName(), types.ApplyPatchType, data,
			metav1.PatchOptions{FieldManager: fieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun})
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", strings.ToLower(u.GetKind()), u.GetName(), explain(err))
		}
	}
	return nil
}

// of returns the client for an object.
func (f *Farm) of(u *unstructured.Unstructured) dynamic.ResourceInterface {
	return f.dynamic.Resource(resources[u.GetKind()]).Namespace(f.namespace)
}

// options returns the options of existing builders, or the defaults, with a change. What cannot
// be changed is an error.
func (f *Farm) options(ctx context.Context, change func(*Options)) (Options, error) {
	was := Defaults()
	set, err := f.set(ctx)
	var missing *MissingError
	exists := true
	switch {
	case err == nil:
		was, err = recorded(set)
	case errors.As(err, &missing):
		exists, err = f.keptOptions(ctx, &was)
	}
	if err != nil {
		return was, err
	}
	now := was
	change(&now)
	if err := now.Check(); err != nil {
		return now, err
	}
	if exists && now.fixed() != was.fixed() {
		return now, runtime.Advise(fmt.Errorf("builders in namespace %s exist, or their caches do, and the size and class of their volumes, and --rootless, cannot be changed", f.namespace),
			runtime.Advice{Do: fmt.Sprintf("remove them with their caches first: pipe builders down --delete-cache --namespace %s", f.namespace)})
	}
	return now, nil
}

// keptOptions sets the options that the caches of former builders were created with, and
// reports whether there are any.
func (f *Farm) keptOptions(ctx context.Context, o *Options) (exist bool, err error) {
	claims, err := f.claims(ctx)
	if err != nil || len(claims) == 0 {
		return false, err
	}
	was, err := recorded(&claims[0])
	if err != nil {
		return false, err
	}
	o.Storage, o.StorageClass, o.Rootless = was.Storage, was.StorageClass, was.Rootless
	return true, nil
}

// createNamespace creates the namespace unless it exists. It must not be that of an environment,
// which would be deleted with the environment.
func (f *Farm) createNamespace(ctx context.Context) error {
	client := f.client.CoreV1().Namespaces()
	found, err := client.Get(ctx, f.namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return nil // with access only inside the namespace
	case err == nil && found.DeletionTimestamp != nil:
		return runtime.Advise(fmt.Errorf("namespace %s is being deleted", f.namespace),
			runtime.Advice{Do: "run again when it is gone: builders in it may take 10 minutes to end their builds"})
	case err == nil:
		if owner := runtime.OwnerOf(found.Labels); owner != (runtime.EnvironmentKey{}) {
			return runtime.Advise(fmt.Errorf("namespace %s belongs to environment %s of pipeline %s, and would be deleted with it", f.namespace, owner.Name, owner.Pipeline),
				runtime.Advice{Do: "use another namespace for the builders: --namespace"})
		}
		return nil
	case !apierrors.IsNotFound(err):
		return explain(err)
	}
	_, err = client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace, Labels: map[string]string{
		labelManagedBy: managedBy, labelKind: kindNamespace,
		// BuildKit creates containers itself.
		"pod-security.kubernetes.io/enforce": "privileged",
	}}}, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return explain(err)
}

// checkOwner returns a *ForeignError if objects of others have the names of ours.
func (f *Farm) checkOwner(ctx context.Context, o Options) error {
	all, err := o.objects(f.namespace, "")
	if err != nil {
		return err
	}
	var foreign []string
	for _, u := range all {
		found, err := f.of(u).Get(ctx, u.GetName(), metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return explain(err)
		}
		if err == nil && !ours(found) {
			foreign = append(foreign, strings.ToLower(u.GetKind())+" "+u.GetName())
		}
	}
	for _, name := range []string{secretAuthority, secretServer, secretClient} {
		secret, err := f.secret(ctx, name)
		if err != nil {
			return err
		}
		if !ours(secret) {
			foreign = append(foreign, "secret "+name)
		}
	}
	if len(foreign) > 0 {
		return &ForeignError{f.namespace, foreign}
	}
	return nil
}
