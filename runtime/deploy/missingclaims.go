package deploy

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// missingClaims returns the claims that a service mounts, that pipe does not create, and
// that do not exist. A pod waits for its claims, so without this check a name that is
// misspelt costs a deploy until its timeout. Claims that cannot be queried are omitted.
func (d *Deployer) missingClaims(ctx context.Context, r runtime.Release) (missing []runtime.RefusedChange, err error) {
	var asked []string
	for _, m := range r.Service.Workload.Mounts {
		if m.Disk != nil || slices.Contains(asked, m.Claim) {
			continue
		}
		asked = append(asked, m.Claim)
		_, err := d.cluster.Typed.CoreV1().PersistentVolumeClaims(r.Namespace).Get(ctx, m.Claim, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, runtime.RefusedChange{
				Object: claimRef(r.Namespace, m.Claim), Awaited: true, Rules: []string{customRules},
				Why: "it does not exist in namespace " + r.Namespace,
				Next: []string{fmt.Sprintf(
					"create it, or name another claim with existing_volume(%q); kubectl --namespace %s get persistentvolumeclaims lists those that exist", m.Claim, r.Namespace)},
			})
		case err != nil && unanswered(err) != nil:
			return nil, err
		}
	}
	return missing, nil
}

func claimRef(namespace, name string) runtime.ObjectRef {
	return runtime.ObjectRef{Kind: "PersistentVolumeClaim", Namespace: namespace, Name: name}
}

// ownClaims returns the claims that the generated chart of a service has.
func ownClaims(namespace string, s plan.Service) (all []runtime.ObjectRef) {
	for _, v := range s.Workload.Volumes {
		all = append(all, claimRef(namespace, s.Name+"-"+v.Name))
	}
	return all
}

// claimsOfSet returns the claims that the pods of a StatefulSet get.
func claimsOfSet(info *resource.Info) (all []runtime.ObjectRef) {
	u, ok := info.Object.(*unstructured.Unstructured)
	if !ok || info.Mapping.GroupVersionKind.GroupKind() != (schema.GroupKind{Group: appsv1.GroupName, Kind: "StatefulSet"}) {
		return nil
	}
	var set appsv1.StatefulSet
	if kruntime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &set) != nil {
		return nil // the server says what is wrong with it
	}
	first, replicas := int32(0), int32(1)
	if set.Spec.Ordinals != nil {
		first = set.Spec.Ordinals.Start
	}
	if set.Spec.Replicas != nil {
		replicas = min(*set.Spec.Replicas, maxClaims)
	}
	for _, template := range set.Spec.VolumeClaimTemplates {
		for i := range replicas {
			all = append(all, claimRef(info.Namespace, fmt.Sprintf("%s-%s-%d", template.Name, set.Name, first+i)))
		}
	}
	return all
}

// maxClaims limits the claims of a StatefulSet that are listed.
const maxClaims = 1000
