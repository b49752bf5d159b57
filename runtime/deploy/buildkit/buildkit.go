// Package buildkit runs BuildKit in a cluster: it creates and removes the builders of a
// namespace, shows them, and connects to those that are ready.
//
// The builders are the pods of a StatefulSet, each with a volume for its cache. They accept
// only clients that have the certificate of the Secret buildkit-client. The objects are in
// buildkit.yaml, and are applied by server-side apply. An annotation has the options that they are
// made from, so that "pipe builders up" with one option keeps the others.
package buildkit

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Name is the name of the objects of the builders. Only one farm can be in a namespace.
const Name = "buildkit"

// DefaultNamespace is the usual namespace of the builders.
const DefaultNamespace = "pipe-builders"

const (
	fieldManager = "pipe-builders"
	port         = 1234

	labelManagedBy = "app.kubernetes.io/managed-by"
	labelKind      = "pipelinefile.github.io/kind"
	labelUses      = "pipelinefile.github.io/builders" // of a namespace whose pods may connect to the builders

	annotationOptions     = "pipelinefile.github.io/options"
	annotationCPU         = "pipelinefile.github.io/cpu"
	annotationMemory      = "pipelinefile.github.io/memory"
	annotationCertificate = "pipelinefile.github.io/certificate"

	managedBy     = "pipe"
	kind          = "builder"
	kindNamespace = "builders-namespace" // of a namespace that was created for builders
)

// A Farm is the builders in one namespace. The namespace and the builders need not exist.
type Farm struct {
	namespace string
	config    *rest.Config
	client    kubernetes.Interface
	dynamic   dynamic.Interface
}

// Open returns the builders in a namespace of the cluster of config. It makes no requests.
func Open(config *rest.Config, namespace string) (*Farm, error) {
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{} // of kinds that are only listed
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Farm{namespace, config, client, objects}, nil
}

// labels are those of all objects of the builders.
func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": Name, labelManagedBy: managedBy, labelKind: kind}
}

// selector selects the pods.
func selector() map[string]string {
	return map[string]string{"app.kubernetes.io/name": Name, labelKind: kind}
}

// ours reports whether pipe has made an object for builders.
func ours(m metav1.Object) bool {
	return m.GetLabels()[labelManagedBy] == managedBy && m.GetLabels()[labelKind] == kind
}

// set returns the StatefulSet of the builders. The error is a *MissingError if there is none,
// and a *ForeignError if it is of others.
func (f *Farm) set(ctx context.Context) (*appsv1.StatefulSet, error) {
	set, err := f.client.AppsV1().StatefulSets(f.namespace).Get(ctx, Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, &MissingError{f.namespace}
	case err != nil:
		return nil, explain(err)
	case !ours(set):
		return nil, &ForeignError{f.namespace, []string{"statefulset " + Name}}
	}
	return set, nil
}

// recorded returns the options that an object was made with: the StatefulSet, or a claim.
func recorded(m metav1.Object) (Options, error) {
	var o Options
	if err := json.Unmarshal([]byte(m.GetAnnotations()[annotationOptions]), &o); err != nil {
		return o, fmt.Errorf("the annotation %s of %s in namespace %s is damaged: %w", annotationOptions, m.GetName(), m.GetNamespace(), err)
	}
	return o, nil
}
