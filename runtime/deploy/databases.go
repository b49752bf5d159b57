package deploy

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// sameDatabase returns an error if a database has another name, or another user that the
// Pipelinefile names, than in its credentials. A server creates both when it is first
// started, and ignores them later, so that the URL would be wrong (SPEC D6).
func sameDatabase(s plan.Service, have *corev1.Secret) error {
	if have.Labels[labelKind] != kindCredentials {
		return nil
	}
	d := s.Workload.Database
	name, user := string(have.Data["database"]), string(have.Data["user"])
	want := chart.Credentials(s, chart.User(s), "")
	field, was, is := "", "", ""
	switch {
	case name != "" && name != want["database"]:
		field, was, is = "database", name, want["database"]
	case d.User != "" && user != "" && user != d.User:
		field, was, is = "user", user, d.User
	default:
		return nil
	}
	return fmt.Errorf("it was created with the %[1]s %[2]q, and its server does not change that to %[3]q: write %[1]s = %[2]q; or create the other one in the server, and then: "+
		"kubectl --namespace %[4]s patch secret %[5]s --patch '{\"stringData\":{%[1]q:%[3]q}}'", field, was, is, have.Namespace, have.Name)
}
