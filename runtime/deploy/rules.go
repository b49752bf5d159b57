package deploy

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// A cluster that rejects a change may accept it after an earlier stage has deployed the
// rule that decides (SPEC D8). The kind of the answer shows which rules these are, and
// the kinds of the objects of a release show which rules it contains.

// crdKind is the kind of CRDs.
const crdKind = "CustomResourceDefinition.apiextensions.k8s.io"

func isCRD(info *resource.Info) bool {
	return info.Mapping.GroupVersionKind.GroupKind().String() == crdKind
}

// customRules means all custom resources, which include policies.
const customRules = "custom resources"

var (
	// A webhook may give any answer, even one that looks like that of a quota.
	webhookRules = []string{"MutatingWebhookConfiguration.admissionregistration.k8s.io", "ValidatingWebhookConfiguration.admissionregistration.k8s.io"}
	policyRules  = []string{
		"MutatingAdmissionPolicy.admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
		"ValidatingAdmissionPolicy.admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
		"Namespace",
	}
	// Everything else: quotas, Pod Security by labels of the namespace, classes that do
	// not exist or do not allow the change, and permissions.
	serverRules = []string{
		"LimitRange", "Namespace", "ResourceQuota",
		"IngressClass.networking.k8s.io", "PriorityClass.scheduling.k8s.io", "RuntimeClass.node.k8s.io", "StorageClass.storage.k8s.io",
		"ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io", "Role.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io",
	}
	apiRules = []string{"APIService.apiregistration.k8s.io"}
	allRules = slices.Concat(webhookRules, policyRules, serverRules, apiRules, []string{customRules})
)

// rulesBehind returns the rules that may have caused an answer of the API server that
// does not name a field. Most webhooks give no details, a policy gives one cause without
// a field, and decisions of the server itself have no cause. params returns the kinds of
// the parameters of policies.
func rulesBehind(answer apierrors.APIStatus, params func() []string) []string {
	if answer == nil {
		return slices.Concat(allRules, params())
	}
	details := answer.Status().Details
	switch {
	case details == nil || details.Kind == "" && details.Name == "":
		return slices.Concat(webhookRules, apiRules, []string{customRules})
	case slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool { return c.Field == "" }):
		return slices.Concat(webhookRules, policyRules, params(), []string{customRules})
	}
	return slices.Concat(webhookRules, serverRules)
}

// paramKinds returns the kinds whose objects are the parameters of the admission policies
// of the cluster. Without the permission to list them, ConfigMaps are assumed: custom
// resources, the other kind in use, are a rule of any policy.
func (c *cluster) paramKinds(ctx context.Context) []string {
	policies, err := c.Typed.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if err != nil {
		return []string{"ConfigMap"}
	}
	var kinds []string
	for _, p := range policies.Items {
		if k := p.Spec.ParamKind; k != nil {
			kinds = append(kinds, schema.FromAPIVersionAndKind(k.APIVersion, k.Kind).GroupKind().String())
		}
	}
	return kinds
}

// rulesOfKind returns the rules that decide which values a custom resource can have.
func rulesOfKind(info *resource.Info) []string {
	return slices.Concat([]string{"CustomResourceDefinition " + info.Mapping.Resource.GroupResource().String(), customRules}, webhookRules, apiRules)
}

// contents collects the objects of a release, and their kinds as the rules that it
// contains: any kind may be that of the parameters of a policy.
type contents struct {
	runtime.Checked
	warnings []runtime.Warned
}

// add adds objects. all is false if the release also has objects of unknown kinds.
func (c *contents) add(infos []*resource.Info, all bool) {
	for _, info := range infos {
		c.rule(info)
		c.Objects = append(append(c.Objects, refOf(info)), claimsOfSet(info)...)
	}
	if !all {
		c.Rules = append(c.Rules, customRules)
	}
}

// rule adds the rule that an object is, whether it is created, kept or deleted.
func (c *contents) rule(info *resource.Info) {
	switch kind := info.Mapping.GroupVersionKind.GroupKind().String(); {
	case kind == crdKind: // a controller that has its own kinds may create its webhooks itself
		c.Rules = append(c.Rules, "CustomResourceDefinition "+info.Name, customRules)
	case isCustom(info) && !slices.Contains(apiRules, kind):
		c.Rules = append(c.Rules, customRules)
	case !slices.Contains(c.Rules, kind):
		c.Rules = append(c.Rules, kind)
	}
}

// crds adds the CRDs of the directory crds, which Helm installs with the first revision.
func (c *contents) crds(o *objects, from *chart.Chart) {
	if !from.HasCRDs() {
		return
	}
	copied, err := from.Copy()
	if err != nil {
		return // the deploy reports the error
	}
	for _, crd := range copied.CRDObjects() {
		c.add(o.readable(string(crd.File.Data)))
	}
}
