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
	}, Files: []plan.File{{Path: "/a", Text: "x"}, {Path: "/b", Secret: &plan.SecretRef{Name: "tls"}}}, Ports: []plan.Port{{Name: "http"}, {Name: "https", Exposure: plan.Exposure{TLS: &plan.TLS{Secret: &plan.SecretRef{Name: "cert"}}}}}, PodContainers: plan.PodContainers{
		Init:     []plan.PodContainer{{Name: "migrate", Env: []plan.EnvVar{{Name: "URL", Secret: &plan.SecretRef{Service: "db", Key: "url"}}}}},
		Sidecars: []plan.PodContainer{{Name: "proxy", Env: []plan.EnvVar{{Name: "C", Secret: &plan.SecretRef{Name: "cert"}}, {Name: "D", Value: "x"}}}},
	}}}
	var got []string
	for in, ref := range s.SecretRefs() {
		got = append(got, in+" "+ref.Service+ref.Name)
	}
	if want := []string{"env B token", "env A db", "tls of port https cert", "tls of port https cert", "files /b tls", "env URL of init container migrate db", "env C of sidecar proxy cert"}; !slices.Equal(got, want) {
		t.Errorf("SecretRefs = %q, want %q", got, want)
	}
	for range s.SecretRefs() {
		break
	}
}
