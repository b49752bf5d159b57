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

// makers are the kinds of objects that are known to make Secrets.
var makers = []struct {
	kind      schema.GroupKind
	name      []string // the field with the name of the Secret; that of the object if it is not set
	condition string   // says whether the Secret is made
}{
	{schema.GroupKind{Group: "external-secrets.io", Kind: "ExternalSecret"}, []string{"spec", "target", "name"}, "Ready"},
	{schema.GroupKind{Group: "bitnami.com", Kind: "SealedSecret"}, []string{"spec", "template", "metadata", "name"}, "Synced"},
	{schema.GroupKind{Group: "cert-manager.io", Kind: "Certificate"}, []string{"spec", "secretName"}, "Ready"},
}

// makersTime bounds the question who makes Secrets, which only adds to what is told.
const makersTime = 5 * time.Second

// noteMakers notes with each missing Secret which object of the namespace is to make
// it. What the cluster does not know, or whoever asks may not list, is left out.
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
						Look: fmt.Sprintf("kubectl --namespace %s describe %s %s", namespace, mapping.Resource.GroupResource(), u.GetName()),
					}
				}
			}
		}
	}
}
