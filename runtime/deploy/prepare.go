package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// The labels of objects that are created here and do not belong to a release.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelPartOf    = "app.kubernetes.io/part-of"
	labelKind      = "pipelinefile.github.io/kind"

	managedBy       = "pipe"
	kindNamespace   = "namespace"
	kindFurther     = "release-namespace"
	kindSecret      = "secret"
	kindCredentials = "credentials"
	kindKey         = "key"
	kindDisk        = "disk"
)

// Prepare implements [runtime.Deployer]. It checks for conflicts before it writes
// anything. What it writes does not belong to a release, so it stays when releases are
// deleted (D6). Of objects that it created earlier, it updates only derived data: the
// current values of the source of secrets, and the address in the credentials of a
// database; never a user or a password.
func (d *Deployer) Prepare(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan) error {
	return d.retry(ctx, silent, "", func() error { return d.prepare(ctx, key, p) })
}

func (d *Deployer) prepare(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan) error {
	further, err := d.furtherNamespaces(ctx, key, p)
	if err != nil {
		return err
	}
	if err := d.homeNamespace(ctx, key); err != nil {
		return err
	}
	for _, name := range further {
		if _, err := d.createNamespace(ctx, name, labelsOf(kindFurther, runtime.EnvironmentKey{}), map[string]string{observe.AnnotationMadeFor: observe.MadeFor(key)}); err != nil {
			return err
		}
	}
	if err := d.disks(ctx, key, p); err != nil {
		return err
	}
	namespace := key.Namespace()
	uses := usesOf(p)
	if len(uses) == 0 {
		return nil
	}
	st, err := d.secrets.state(ctx, d, namespace, true)
	if err != nil {
		return err
	}
	defer st.mu.Unlock()
	given, err := d.supplied(ctx, st, namespace, uses)
	if err != nil {
		return err
	}
	w := secretWriter{d.cluster.Typed.CoreV1().Secrets(namespace), st, key}
	if !st.stored {
		if err := w.write(ctx, keySecret, kindKey, map[string][]byte{chart.DefaultKey: st.key}); err != nil {
			return d.explain(ctx, err)
		}
		st.stored = true
	}
	for _, s := range p.Services {
		if s.Workload.Database != nil {
			if err := w.credentials(ctx, s); err != nil {
				return fmt.Errorf("credentials of %s: %w", s.Name, d.explain(ctx, err))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := w.write(ctx, name, kindSecret, given[name]); err != nil {
			return fmt.Errorf("secret %s: %w", name, d.explain(ctx, err))
		}
	}
	return nil
}

func labelsOf(kind string, key runtime.EnvironmentKey) map[string]string {
	labels := key.Labels()
	labels[labelManagedBy], labels[labelKind] = managedBy, kind
	if key.Pipeline != "" {
		labels[labelPartOf] = key.Pipeline
	}
	return labels
}

// A secretRefUse is a use of a secret by a service.
type secretRefUse struct {
	ref     plan.SecretRef
	service string
	in      string   // the place, such as "env TOKEN"
	pos     plan.Pos // of the service
}

func (u secretRefUse) String() string {
	if u.pos.IsZero() {
		return fmt.Sprintf("service %s (%s)", u.service, u.in)
	}
	return fmt.Sprintf("service %s (%s, %s)", u.service, u.in, u.pos)
}

// usesOf returns all uses of secrets by services of the plan, including databases, which
// have credentials even if no service uses them.
func usesOf(p *plan.Plan) []secretRefUse {
	var uses []secretRefUse
	for _, s := range p.Services {
		for in, ref := range s.SecretRefs() {
			uses = append(uses, secretRefUse{ref, s.Name, in, s.Pos})
		}
		if s.Workload.Database != nil {
			uses = append(uses, secretRefUse{plan.SecretRef{Service: s.Name}, s.Name, "", s.Pos})
		}
	}
	return uses
}

// supplied returns the data of the Secrets that the source of secrets provides. A Secret
// that pipe did not create is never changed: if its value differs, supplied returns an
// error.
func (d *Deployer) supplied(ctx context.Context, st *secretState, namespace string, uses []secretRefUse) (map[string]map[string][]byte, error) {
	given := make(map[string]map[string][]byte)
	var errs []error
	for _, u := range uses {
		value, ok, err := d.given(ctx, u.ref)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", u, err)
		case !ok:
			continue
		}
		name, key := chart.SecretKey(u.ref)
		have := st.data[name]
		if have != nil && have.Labels[labelKind] != kindSecret && !bytes.Equal(have.Data[key], value) {
			errs = append(errs, fmt.Errorf("secret %s: Secret %s of namespace %s was not made by pipe, and its key %s is not what the source of secrets gives: leave the secret out of the source to use the Secret as it is; or, to lose what is in it: kubectl --namespace %s delete secret %s", u.ref.Name, name, namespace, key, namespace, name))
			continue
		}
		if given[name] == nil {
			given[name] = make(map[string][]byte)
		}
		given[name][key] = value
	}
	return given, errors.Join(errs...)
}
