package inspect

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// TestRightsAreDocumented: the permissions that doctor checks are those of the Role in the
// documentation.
func TestRightsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(data), "\n---\n")
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte(first), &role); err != nil {
		t.Fatal(err)
	}
	var documented, asked []string
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					documented = append(documented, verb+" "+resource+"."+group)
				}
			}
		}
	}
	for _, r := range rightsOfRun {
		for _, verb := range r.verbs {
			asked = append(asked, verb+" "+r.resource+"."+r.group)
		}
	}
	slices.Sort(documented)
	slices.Sort(asked)
	if diff := cmp.Diff(documented, asked); diff != "" {
		t.Errorf("docs/rbac.yaml and rightsOfRun differ (-documented +asked):\n%s", diff)
	}
}
