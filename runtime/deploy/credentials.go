package deploy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
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

// A secretWriter writes the Secrets of one namespace.
type secretWriter struct {
	client typedcorev1.SecretInterface
	state  *secretState
	key    runtime.EnvironmentKey
}

// write adds data to a Secret and keeps its other keys.
func (w secretWriter) write(ctx context.Context, name, kind string, data map[string][]byte) error {
	have := w.state.data[name]
	if have == nil {
		made, err := w.client.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labelsOf(kind, w.key)},
			Data:       data,
		}, metav1.CreateOptions{FieldManager: fieldManager})
		if err != nil {
			return err
		}
		w.state.data[name] = made
		return nil
	}
	changed := have.DeepCopy()
	if changed.Data == nil {
		changed.Data = make(map[string][]byte)
	}
	var lacks []string
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if !bytes.Equal(changed.Data[key], data[key]) {
			lacks = append(lacks, key)
		}
		changed.Data[key] = data[key]
	}
	if len(lacks) == 0 {
		return nil
	}
	switch owner := runtime.OwnerOf(have.Labels); owner {
	case w.key.Owner():
	case runtime.EnvironmentKey{}:
		var marks []string
		for label, value := range w.key.Labels() {
			marks = append(marks, label+"="+value)
		}
		slices.Sort(marks)
		return fmt.Errorf("Secret %s of namespace %s was not made by pipe, and what it has of %s is not what is needed: to let pipe set that, and keep the rest: kubectl --namespace %s label secret %s %s",
			name, have.Namespace, strings.Join(lacks, ", "), have.Namespace, name, strings.Join(marks, " "))
	default:
		return &runtime.OwnedError{Key: w.key, Kind: "Secret", Name: name, Owner: owner}
	}
	changed, err := w.client.Update(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager})
	if err == nil {
		w.state.data[name] = changed
	}
	return err
}

// credentials creates the credentials of a database. User and password are generated
// once; what is derived from them and from the plan is kept up to date.
func (w secretWriter) credentials(ctx context.Context, s plan.Service) error {
	name := plan.CredentialsName(s.Name)
	user, password := chart.User(s), ""
	if have := w.state.data[name]; have != nil {
		if u := have.Data["user"]; len(u) > 0 {
			user = string(u)
		}
		password = string(have.Data["password"])
		if err := sameDatabase(s, have); err != nil {
			return err
		}
	}
	if password == "" {
		var err error
		if password, err = newPassword(); err != nil {
			return err
		}
	}
	data := make(map[string][]byte)
	for key, value := range chart.Credentials(s, user, password) {
		data[key] = []byte(value)
	}
	return w.write(ctx, name, kindCredentials, data)
}
