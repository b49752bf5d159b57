package initialize

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
)

// A role is a Role or a ClusterRole, and a binding a RoleBinding or a ClusterRoleBinding.
type (
	role struct {
		other *other
		rules []rbacv1.PolicyRule
	}
	binding struct {
		other    *other
		ref      rbacv1.RoleRef
		subjects []rbacv1.Subject
	}
	policy struct {
		other *other
		spec  networkingv1.NetworkPolicySpec
	}
)

// rights converts the roles that are bound to the accounts of workloads. pipe creates an
// account for each service, so a binding is converted only if all its subjects are
// accounts in the manifests that workloads use.
func (c *cluster) rights() {
	bound := map[*other]bool{} // by role, whether all its bindings were converted
	for _, b := range c.bindings {
		i := slices.IndexFunc(c.roles, func(r role) bool { return r.other.kind == b.ref.Kind && r.other.name == b.ref.Name })
		if i < 0 {
			continue
		}
		r := c.roles[i]
		if _, seen := bound[r.other]; !seen {
			bound[r.other] = true
		}
		services, ok := c.accountsOf(b.subjects)
		var rules []string
		for _, rule := range r.rules {
			text := ruleText(rule, b.other.kind == "ClusterRoleBinding")
			ok = ok && text != ""
			rules = append(rules, text)
		}
		if !ok || b.other.bound || r.other.bound && r.other.kind == "Role" || len(rules) == 0 {
			bound[r.other] = false
			continue
		}
		b.other.done = true
		for _, s := range services {
			for _, rule := range rules {
				if !slices.Contains(s.rbac, rule) {
					s.rbac = append(s.rbac, rule)
				}
			}
		}
	}
	for role, all := range bound {
		role.done = all
	}
}

// accountsOf returns the services whose pods use the accounts. ok is false if another
// subject has the role, too.
func (c *cluster) accountsOf(subjects []rbacv1.Subject) (all []*service, ok bool) {
	for _, s := range subjects {
		found := false
		for _, w := range c.workloads {
			if s.Kind == rbacv1.ServiceAccountKind && c.accounts[s.Name] && w.pod.ServiceAccountName == s.Name && w.service.kind != plan.Database {
				all, found = append(all, w.service), true
			}
		}
		if !found {
			return nil, false
		}
	}
	return all, len(all) > 0
}

// ruleText returns the call of rule() for a rule, or "" if it cannot express the rule.
func ruleText(r rbacv1.PolicyRule, everywhere bool) string {
	empty := func(list []string) bool { return len(list) == 0 || slices.Contains(list, "") }
	lower := !slices.ContainsFunc(r.Resources, func(name string) bool { return name != strings.ToLower(name) })
	if empty(r.Resources) || empty(r.Verbs) || !lower || len(r.NonResourceURLs) > 0 || len(r.APIGroups) == 0 || slices.Contains(r.Verbs, "create") && len(r.ResourceNames) > 0 {
		return ""
	}
	text := "rule(" + strs(r.Resources) + ", " + strs(r.Verbs)
	if !slices.Equal(r.APIGroups, []string{""}) {
		text += ", groups = " + strs(r.APIGroups)
	}
	if len(r.ResourceNames) > 0 {
		text += ", names = " + strs(r.ResourceNames)
	}
	if everywhere {
		text += ", cluster = True"
	}
	return text + ")"
}

// policies converts the NetworkPolicies that restrict connections to the pods of
// workloads.
func (c *cluster) policies() {
	for _, p := range c.networks {
		targets := c.matching(p.spec.PodSelector)
		var from []*service
		ok := !p.other.bound && len(targets) > 0 && !slices.Contains(p.spec.PolicyTypes, networkingv1.PolicyTypeEgress) && len(p.spec.Egress) == 0
		for _, rule := range p.spec.Ingress {
			ok = ok && len(rule.From) > 0 && !slices.ContainsFunc(targets, func(w *workload) bool { return !allPorts(w, rule.Ports) })
			for _, peer := range rule.From {
				if peer.PodSelector == nil || peer.NamespaceSelector != nil || peer.IPBlock != nil {
					ok = false
					continue
				}
				peers := c.matching(*peer.PodSelector)
				ok = ok && len(peers) > 0
				for _, w := range peers {
					from = append(from, w.service)
				}
			}
		}
		ok = ok && !slices.ContainsFunc(targets, func(w *workload) bool { return w.service.kind == plan.Database })
		if !ok {
			continue
		}
		p.other.done = true
		for _, w := range targets {
			if w.service.kind == plan.Job {
				continue // its pods accept no connections
			}
			w.service.closed = true
			for _, s := range from {
				if !slices.Contains(w.service.network, s) {
					w.service.network = append(w.service.network, s)
				}
			}
		}
	}
}

// matching returns the workloads whose pods a selector selects. It returns none for a
// selector with expressions, which it does not evaluate.
func (c *cluster) matching(selector metav1.LabelSelector) (all []*workload) {
	for _, w := range c.workloads {
		ok := len(selector.MatchExpressions) == 0
		for k, v := range selector.MatchLabels {
			ok = ok && w.labels[k] == v
		}
		if ok {
			all = append(all, w)
		}
	}
	return all
}

// allPorts reports whether a rule of a NetworkPolicy is about all ports of a workload.
func allPorts(w *workload, ports []networkingv1.NetworkPolicyPort) bool {
	if len(ports) == 0 {
		return true
	}
	return !slices.ContainsFunc(w.containerPorts(), func(have corev1.ContainerPort) bool {
		return !slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
			protocol := corev1.ProtocolTCP
			if p.Protocol != nil {
				protocol = *p.Protocol
			}
			same := protocol == have.Protocol || have.Protocol == "" && protocol == corev1.ProtocolTCP
			return same && (p.Port == nil || p.Port.IntVal == have.ContainerPort || p.Port.StrVal != "" && p.Port.StrVal == have.Name)
		})
	})
}
