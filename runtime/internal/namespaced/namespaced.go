// Package namespaced lists everything in a namespace of a cluster, which says whether the namespace
// can be deleted.
package namespaced

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// A Kind is a namespaced kind of object.
type Kind struct {
	Kind     string
	Resource schema.GroupVersionResource
}

// Kinds returns the kinds whose objects can be listed and deleted. If err is one of
// [discovery.IsGroupDiscoveryFailedError], it names the API groups that could not be queried, and
// the other kinds are returned.
func Kinds(client discovery.ServerResourcesInterface) (kinds []Kind, err error) {
	lists, err := client.ServerPreferredNamespacedResources()
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			if slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "delete") {
				kinds = append(kinds, Kind{r.Kind, group.WithResource(r.Name)})
			}
		}
	}
	return kinds, err
}

// A Listing are the objects of a kind in a namespace, or the error of listing them.
type Listing struct {
	Kind
	Objects []metav1.PartialObjectMetadata
	Err     error
}

// List lists the objects of kinds in a namespace, concurrently, in the order of the kinds.
func List(ctx context.Context, client metadata.Interface, namespace string, kinds []Kind) []Listing {
	all := make([]Listing, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() {
			all[i].Kind = kind
			list, err := client.Resource(kind.Resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				all[i].Err = err
				return
			}
			all[i].Objects = list.Items
		})
	}
	wg.Wait()
	return all
}

// Name returns how an object of a kind is named in messages, such as "configmap settings".
func (k Kind) Name(object string) string { return strings.ToLower(k.Kind) + " " + object }

// ByCluster reports whether an object is made by the cluster itself, or goes with its owner.
func (k Kind) ByCluster(m *metav1.PartialObjectMetadata) bool {
	switch {
	case len(m.OwnerReferences) > 0, m.DeletionTimestamp != nil:
		return true
	case k.Resource.Resource == "configmaps":
		return m.Name == "kube-root-ca.crt"
	case k.Resource.Resource == "serviceaccounts":
		return m.Name == "default"
	case k.Resource.Resource == "secrets":
		return m.Annotations[corev1.ServiceAccountNameKey] != ""
	}
	return false
}

// Some joins the first names of a list, with the number of the others.
func Some(names []string) string {
	const shown = 5
	text := strings.Join(names[:min(len(names), shown)], ", ")
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
