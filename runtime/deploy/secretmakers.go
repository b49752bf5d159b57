package deploy

import (
	"cmp"
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pipelinefile/pipe/runtime"
)

// makers are the known kinds of objects that create Secrets.
var makers = []struct {
	kind      schema.GroupKind
	name      []string // the field with the name of the Secret; defaults to the name of the object
	condition string   // reports whether the Secret was created
}{
	{schema.GroupKind{Group: "external-secrets.io", Kind: "ExternalSecret"}, []string{"spec", "target", "name"}, "Ready"},
	{schema.GroupKind{Group: "bitnami.com", Kind: "SealedSecret"}, []string{"spec", "template", "metadata", "name"}, "Synced"},
	{schema.GroupKind{Group: "cert-manager.io", Kind: "Certificate"}, []string{"spec", "secretName"}, "Ready"},
}

// makersTime limits the query for makers of Secrets, which only adds detail to
// messages.
const makersTime = 5 * time.Second

// noteMakers records for each missing Secret the object of the namespace that
// should create it. Kinds that the cluster does not know, or that the user may
// not list, are omitted.
func (d *Deployer) noteMakers(ctx context.Context, namespace string, missing []runtime.MissingSecret) {
	if len(missing) == 0 {
		return
	}
	ctx, stop := context.WithTimeout(ctx, makersTime)
	defer stop()
	for _, maker := range makers {
		mapping, err := d.cluster.mapper.RESTMapping(maker.kind)
		if err != nil {
			continue
		}
		client, err := d.cluster.clientFor(mapping.GroupVersionKind.GroupVersion())
		if err != nil {
			continue
		}
		var list unstructured.UnstructuredList
		resource := mapping.Resource.Resource
		if err := client.Get().NamespaceIfScoped(namespace, true).Resource(resource).
			VersionedParams(&metav1.ListOptions{}, metav1.ParameterCodec).Do(ctx).Into(&list); err != nil {
			continue
		}
		for i := range list.Items {
			u := &list.Items[i]
			name, _, _ := unstructured.NestedString(u.Object, maker.name...)
			name = cmp.Or(name, u.GetName())
			for j := range missing {
				if m := &missing[j]; m.Name == name && m.Never == "" {
					m.By = &runtime.SecretMaker{
						Object: maker.kind.Kind + " " + u.GetName(), Why: notTrue(u, maker.condition),
						Show: fmt.Sprintf("kubectl --namespace %s describe %s %s", namespace, mapping.Resource.GroupResource(), u.GetName()),
					}
				}
			}
		}
	}
}
