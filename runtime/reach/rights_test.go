package reach_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// rolesOf returns the rules of the Roles of docs/rbac.yaml, by name.
func rolesOf(t *testing.T) map[string][]rbacv1.PolicyRule {
	t.Helper()
	data, err := os.ReadFile("../../docs/rbac.yaml")
	must(t, err)
	rules := make(map[string][]rbacv1.PolicyRule)
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		var role rbacv1.Role
		if err := d.Decode(&role); err != nil {
			break
		}
		rules[role.Name] = role.Rules
	}
	return rules
}

// as returns the configuration of a user who has only these rights in a namespace.
func as(t *testing.T, n *node, user string, rules []rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	_, err := n.client.RbacV1().Roles(n.namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}, metav1.CreateOptions{})
	must(t, err)
	_, err = n.client.RbacV1().RoleBindings(n.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}, metav1.CreateOptions{})
	must(t, err)
	config := testenv.Cluster(t)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	return config
}

// TestRights: the Roles pipe and pipe-reach together are sufficient, and pipe alone is not.
// On the real API server, an allowed connection gets as far as the node, which does not
// exist.
func TestRights(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("web", "web-1")
	roles := rolesOf(t)
	forward := func(config *rest.Config) error {
		ns, err := reach.Open(config, n.namespace)
		must(t, err)
		defer ns.Close()
		ns.SetTimes(time.Second, time.Minute, 15*time.Second)
		_, w, forwards := forwarder(t, ns, "web")
		w.until("web", reach.Listening, "web-1")
		resets(t, forwards[0])
		return w.until("web", reach.Failed, "web-1").Err
	}
	execute := func(config *rest.Config) error {
		ns, err := reach.Open(config, n.namespace)
		must(t, err)
		defer ns.Close()
		at, err := ns.Place(t.Context(), "web", "", "")
		must(t, err)
		return ns.Exec(t.Context(), *at, reach.Command{Args: []string{"id"}, Stdout: io.Discard})
	}
	restart := func(config *rest.Config) error {
		ns, err := reach.Open(config, n.namespace)
		must(t, err)
		defer ns.Close()
		s := ns.Syncer(reach.SyncOptions{Layer: func(context.Context, string, func(io.Writer) error) (string, error) { return "other", nil }})
		defer s.Close()
		s.Set("web", "main")
		return s.Update(t.Context(), "web", runtime.SyncUpdate{Changes: []runtime.SyncChange{source(t, t.TempDir(), "a", "", 0o644)}, Restart: true})
	}
	if err := restart(as(t, n, "alone-again", roles["pipe"])); !apierrors.IsForbidden(err) {
		t.Errorf("without pipe-reach a restart fails with %v", err)
	}
	if err := forward(as(t, n, "alone", roles["pipe"])); !apierrors.IsForbidden(err) {
		t.Errorf("without pipe-reach a forward fails with %v", err)
	}
	if err := execute(as(t, n, "alone-too", roles["pipe"])); !apierrors.IsForbidden(err) {
		t.Errorf("without pipe-reach a command fails with %v", err)
	}
	if err := execute(as(t, n, "both", append(slices.Clone(roles["pipe"]), roles["pipe-reach"]...))); err == nil || apierrors.IsForbidden(err) {
		t.Errorf("with pipe-reach a command fails with %v", err)
	}
	if err := restart(as(t, n, "restarts", append(slices.Clone(roles["pipe"]), roles["pipe-reach"]...))); err != nil {
		t.Errorf("with pipe-reach a restart fails with %v", err)
	}
	// Websockets need both verbs. SPDY works with "create" alone.
	for _, verbs := range [][]string{{"get"}, {"create"}, {"get", "create"}} {
		rule := *roles["pipe-reach"][0].DeepCopy()
		if rule.Resources[0] != "pods/portforward" || !slices.Equal(rule.Verbs, verbs) && len(verbs) == 2 {
			t.Fatalf("pipe-reach has the rule %v", rule)
		}
		rule.Verbs = verbs
		err := forward(as(t, n, strings.Join(verbs, "-"), append(slices.Clone(roles["pipe"]), rule)))
		if allowed := slices.Contains(verbs, "create"); apierrors.IsForbidden(err) == allowed {
			t.Errorf("with %v: %v", verbs, err)
		}
	}
}
