package plan_test

import (
	"slices"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// TestSecretRefs: each place of a service that refers to a secret is yielded, in its order,
// and the caller can stop.
func TestSecretRefs(t *testing.T) {
	s := plan.Service{Workload: plan.Workload{Env: []plan.EnvVar{
		{Name: "B", Secret: &plan.SecretRef{Name: "token"}}, {Name: "PLAIN", Value: "x"},
		{Name: "A", Secret: &plan.SecretRef{Service: "db", Key: "url"}},
	}, Files: []plan.File{{Path: "/a", Text: "x"}, {Path: "/b", Secret: &plan.SecretRef{Name: "tls"}}}, Ports: []plan.Port{{Name: "http"}, {Name: "https", Exposure: plan.Exposure{TLS: &plan.TLS{Secret: &plan.SecretRef{Name: "cert"}}}}}}}
	var got []string
	for in, ref := range s.SecretRefs() {
		got = append(got, in+" "+ref.Service+ref.Name)
	}
	if want := []string{"env B token", "env A db", "tls of port https cert", "tls of port https cert", "files /b tls"}; !slices.Equal(got, want) {
		t.Errorf("SecretRefs = %q, want %q", got, want)
	}
	for range s.SecretRefs() {
		break
	}
}
