package observe

import (
	"strings"
	"testing"
)

// TestForbidden: missing permissions, quotas and admission rules of the cluster are
// distinguished.
func TestForbidden(t *testing.T) {
	for message, want := range map[string]string{
		`secrets is forbidden: User "ci" cannot list resource "secrets" in API group "" in the namespace "shop"`:                         "have a Role with this right",
		`services "web" is forbidden: exceeded quota: few, requested: services=1, used: services=0, limited: services=0`:                 "have the quota raised",
		`configmaps "c2" is forbidden: ValidatingAdmissionPolicy 'no-c2' with binding 'no-c2' denied request: resource c2 cannot change`: "a rule of the cluster refuses it",
	} {
		if _, got := Forbidden(message); !strings.Contains(got, want) {
			t.Errorf("Forbidden(%q) = %q, want %q in it", message, got, want)
		}
	}
}
