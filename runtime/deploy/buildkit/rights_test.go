package buildkit

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime"
)

// rulesOf returns the rules of a Role of docs/rbac.yaml.
func rulesOf(t *testing.T, name string) []rbacv1.PolicyRule {
	t.Helper()
	data, err := os.ReadFile("../../../docs/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		var role rbacv1.Role
		if err := d.Decode(&role); err != nil {
			t.Fatalf("docs/rbac.yaml has no Role %s: %v", name, err)
		}
		if role.Name == name {
			return role.Rules
		}
	}
}

// as returns the builders as a user sees them who has only these rights in their namespace.
func (f *Farm) as(t *testing.T, user string, rules []rbacv1.PolicyRule) *Farm {
	t.Helper()
	_, err := f.client.RbacV1().Roles(f.namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}, metav1.CreateOptions{})
	if err == nil {
		_, err = f.client.RbacV1().RoleBindings(f.namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(f.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	theirs, err := Open(config, f.namespace)
	if err != nil {
		t.Fatal(err)
	}
	// The API server learns of the binding some time later.
	known := func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: f.namespace}}
		review, err := theirs.client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && slices.ContainsFunc(review.Status.ResourceRules, func(r authorizationv1.ResourceRule) bool {
			return slices.Equal(r.Resources, rules[0].Resources) && slices.Equal(r.Verbs, rules[0].Verbs)
		}), err
	}
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, known); err != nil {
		t.Fatal(err)
	}
	return theirs
}

// TestRights: the Roles of docs/rbac.yaml are sufficient, and each of their rules is needed: without
// it, the error says which permission is missing. Only the rule for logs is for better errors.
func TestRights(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	if err := f.createNamespace(t.Context()); err != nil {
		t.Fatal(err)
	}
	small := func(o *Options) { o.CPU, o.Memory = "10m", "16Mi" }
	all := func(ctx context.Context, admin *Farm) error {
		if err := up(t, admin, small); err != nil {
			return err
		}
		if _, err := admin.Status(ctx); err != nil {
			return err
		}
		_, err := admin.Down(ctx, true)
		return err
	}
	rules := rulesOf(t, "pipe-builders")
	if err := all(t.Context(), f.as(t, "admin", rules)); err != nil {
		t.Fatalf("with the Role pipe-builders: %v", err)
	}
	refused := func(what string, rule rbacv1.PolicyRule, err error) {
		t.Helper()
		advice, _ := runtime.AdviceOf(err)
		if err == nil || !strings.Contains(err.Error(), `resource "`+rule.Resources[0]+`"`) || !strings.Contains(advice.Do, "docs/rbac.md") {
			t.Errorf("%s without %v: %v, %q", what, rule.Resources, err, advice.Do)
		}
	}
	for i, rule := range rules {
		name, without := strings.ReplaceAll(rule.Resources[0], "/", "-"), slices.Delete(slices.Clone(rules), i, i+1)
		err := all(t.Context(), f.as(t, "admin-"+name, without))
		if rule.Resources[0] != "pods/log" {
			refused("pipe-builders", rule, err)
		} else if err != nil {
			t.Errorf("pipe-builders without %v: %v", rule.Resources, err)
		}
	}

	if err := up(t, f, small); err != nil {
		t.Fatal(err)
	}
	build := func(user *Farm) error {
		ready, err := user.Ready(t.Context())
		if err != nil {
			return err
		}
		_, err = ready[0].Dial(t.Context())
		return err
	}
	rules = rulesOf(t, "pipe-build")
	// The simulated node has nothing to connect to, but the connection is not forbidden.
	if err := build(f.as(t, "user", rules)); err == nil || strings.Contains(err.Error(), "cannot") {
		t.Errorf("with the Role pipe-build: %v", err)
	}
	for i, rule := range rules {
		name := strings.ReplaceAll(rule.Resources[0], "/", "-")
		err := build(f.as(t, "user-"+name, slices.Delete(slices.Clone(rules), i, i+1)))
		refused("pipe-build", rule, err)
	}
}
