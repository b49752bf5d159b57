package inspect

import (
	"context"
	"fmt"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rightsOfRun are the permissions of the Role in docs/rbac.yaml, which documents their use. A
// user's own charts may need additional ones.
var rightsOfRun = []struct {
	group, resource string
	verbs           []string
}{
	{"", "namespaces", []string{"get", "patch"}},
	{"", "configmaps", []string{"get", "list", "create", "update", "delete", "deletecollection"}},
	{"coordination.k8s.io", "leases", []string{"get", "watch", "create", "update", "patch", "delete"}},
	{"", "secrets", []string{"get", "list", "watch", "create", "update", "patch", "delete"}},
	{"", "services", []string{"get", "create", "patch", "delete"}},
	{"", "serviceaccounts", []string{"get", "create", "patch", "delete"}},
	{"", "persistentvolumeclaims", []string{"get", "list", "watch", "create", "patch", "delete"}},
	{"apps", "deployments", []string{"get", "list", "watch", "create", "patch", "delete"}},
	{"apps", "statefulsets", []string{"get", "list", "watch", "create", "patch", "delete"}},
	{"batch", "jobs", []string{"get", "list", "watch", "create", "patch", "delete"}},
	{"batch", "cronjobs", []string{"get", "create", "patch", "delete"}},
	{"networking.k8s.io", "ingresses", []string{"get", "create", "patch", "delete"}},
	{"apps", "replicasets", []string{"list", "watch"}},
	{"", "pods", []string{"get", "list", "watch", "delete"}},
	{"", "events", []string{"list", "watch"}},
	{"", "pods/log", []string{"get"}},
}

// Missing returns the permissions that a run needs in a namespace and that the current user
// lacks, such as "create secrets". It makes one request for each permission. With further, the
// namespace is one of a service, which has no state, no lock and no owner (E9).
func (ins *Inspector) Missing(ctx context.Context, namespace string, further bool) ([]string, error) {
	type right struct{ group, resource, verb string }
	var rights []right
	for _, n := range rightsOfRun {
		for _, verb := range n.verbs {
			if further && (n.resource == "configmaps" || n.resource == "leases" || n.resource == "namespaces" && verb == "patch") {
				continue
			}
			rights = append(rights, right{n.group, n.resource, verb})
		}
	}
	denied := make([]bool, len(rights))
	errs := make([]error, len(rights))
	var wg sync.WaitGroup
	for i, r := range rights {
		wg.Go(func() {
			resource, sub, _ := strings.Cut(r.resource, "/")
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Group: r.group, Resource: resource, Subresource: sub, Verb: r.verb,
				},
			}}
			var answer *authorizationv1.SelfSubjectAccessReview
			answer, errs[i] = ins.cluster.Typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			denied[i] = errs[i] == nil && !answer.Status.Allowed
		})
	}
	wg.Wait()
	var missing []string
	for i, r := range rights {
		if errs[i] != nil {
			return nil, fmt.Errorf("ask for the rights in namespace %s: %w", namespace, ins.cluster.Explain(ctx, errs[i]))
		}
		if denied[i] {
			missing = append(missing, r.verb+" "+r.resource)
		}
	}
	return missing, nil
}
