package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// needs are the Secrets that the services of a plan require and that pipe does
// not create.
type needs struct {
	namespace string
	uses      []secretRefUse
	own       map[string]plan.Service // databases, by the Secret that pipe creates for them
}

func (d *Deployer) needs(ctx context.Context, namespace string, p *plan.Plan) (needs, error) {
	n := needs{namespace: namespace, own: make(map[string]plan.Service)}
	for _, s := range p.Services {
		if s.Workload.Database != nil {
			n.own[plan.CredentialsName(s.Name)] = s
		}
	}
	for _, u := range usesOf(p) {
		if u.ref.Service != "" {
			continue
		}
		_, given, err := d.given(ctx, u.ref)
		switch {
		case err != nil:
			return needs{}, fmt.Errorf("%s: %w", u, err)
		case !given:
			n.uses = append(n.uses, u)
		}
	}
	return n, nil
}

// of returns the needs of one service.
func (n needs) of(service string) needs {
	var uses []secretRefUse
	for _, u := range n.uses {
		if u.service == service {
			uses = append(uses, u)
		}
	}
	n.uses = uses
	return n
}

// missing returns what is missing, by Secret; find returns the Secret of a name
// or nil. What can never be created is separated from what may be.
func (n needs) missing(find func(name string) *corev1.Secret) []runtime.MissingSecret {
	type group struct{ name, never string }
	groups := make(map[group]*runtime.MissingSecret)
	for _, u := range n.uses {
		name, _ := chart.SecretKey(u.ref)
		has, never := n.keys(name, find)
		key, ok := keyIn(u.ref, has)
		switch {
		case ok:
			continue
		case never != "" && u.ref.Key != "":
			never = fmt.Sprintf("Secret %s has no key %s: %s", name, key, never)
		case u.ref.Key == "" && len(has) > 1:
			never = fmt.Sprintf("Secret %s of namespace %s has the keys %s: name one with secret(%q, key = …)", name, n.namespace, strings.Join(has, ", "), u.ref.Name)
		}
		m := groups[group{name, never}]
		if m == nil {
			m = &runtime.MissingSecret{Name: name, Has: has, Never: never}
			groups[group{name, never}] = m
		}
		if !slices.Contains(m.Keys, key) {
			m.Keys = append(m.Keys, key)
		}
		if !slices.Contains(m.Services, u.service) {
			m.Services = append(m.Services, u.service)
		}
	}
	var all []runtime.MissingSecret
	for _, m := range groups {
		slices.Sort(m.Keys)
		if m.Never == "" {
			m.Make = n.command(*m)
		}
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b runtime.MissingSecret) int {
		return strings.Compare(a.Name+" "+a.Never, b.Name+" "+b.Never)
	})
	return all
}

// keys returns the keys of a Secret, nil if it does not exist, and why it can
// never have another key.
func (n needs) keys(name string, find func(name string) *corev1.Secret) (has []string, never string) {
	if db, ok := n.own[name]; ok {
		has = slices.Sorted(maps.Keys(chart.Credentials(db, "", "")))
		return has, fmt.Sprintf("pipe makes it for database %s, with the keys %s", db.Name, strings.Join(has, ", "))
	}
	secret := find(name)
	if secret == nil {
		return nil, ""
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(secret.Data)))), ""
}

// keyIn returns the key that a reference selects in a Secret with these keys,
// and whether it exists.
func keyIn(ref plan.SecretRef, has []string) (key string, ok bool) {
	if _, key = chart.SecretKey(ref); ref.Key == "" && len(has) == 1 {
		key = has[0]
	}
	return key, slices.Contains(has, key)
}

// command returns the command that creates everything that is missing of a
// Secret.
func (n needs) command(m runtime.MissingSecret) string {
	if m.Has != nil {
		var data []string
		for _, key := range m.Keys {
			data = append(data, fmt.Sprintf("%q:\"VALUE\"", key))
		}
		return fmt.Sprintf("kubectl --namespace %s patch secret %s --patch '{\"stringData\":{%s}}'", n.namespace, m.Name, strings.Join(data, ","))
	}
	text := fmt.Sprintf("kubectl --namespace %s create secret generic %s", n.namespace, m.Name)
	for _, key := range m.Keys {
		text += fmt.Sprintf(" --from-literal=%s=VALUE", key)
	}
	return text
}

// MissingSecrets implements [runtime.Deployer].
func (d *Deployer) MissingSecrets(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan) (missing []runtime.MissingSecret, err error) {
	n, err := d.needs(ctx, key.Namespace(), p)
	if err != nil || len(n.uses) == 0 {
		return nil, err
	}
	err = d.retry(ctx, silent, "", func() error {
		st, err := d.secrets.state(ctx, d, n.namespace, false)
		if err != nil {
			return err
		}
		defer st.mu.Unlock()
		missing = n.missing(func(name string) *corev1.Secret { return st.data[name] })
		return nil
	})
	d.noteMakers(ctx, n.namespace, missing)
	return missing, err
}

// AwaitSecrets implements [runtime.Deployer]. It uses a watch on the Secrets of
// the namespace, which all waits share.
func (d *Deployer) AwaitSecrets(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan, service string, emit runtime.Emit) error {
	all, err := d.needs(ctx, key.Namespace(), p)
	if err != nil {
		return err
	}
	s := p.Service(service)
	if s == nil {
		return fmt.Errorf("service %s: %w", service, runtime.ErrNotFound)
	}
	v, done := d.caches.Of(d.cluster.Cluster, all.namespace, []string{observe.SecretKind})
	defer done()
	changes := make(chan struct{}, 1)
	defer v.Read(changes)()
	w := secretWait{all: all, own: all.of(service), emit: emit, err: func() error { return v.Err(observe.SecretKind) }}
	w.makers = func(missing []runtime.MissingSecret) { d.noteMakers(ctx, all.namespace, missing) }
	w.find = func(name string) *corev1.Secret {
		return observe.Object[corev1.Secret](v, observe.SecretKind, all.namespace, name)
	}
	err = w.run(ctx, changes, within(timeoutOf(*s)))
	switch {
	case err == nil:
		return d.secrets.learn(ctx, d, w)
	case errors.Is(err, runtime.ErrTimeout) && ctx.Err() == nil:
		if away := d.cluster.Away(ctx); away != nil {
			return fmt.Errorf("%w, and the cluster cannot be asked any more: %w", err, away)
		}
	case apierrors.IsForbidden(err):
		return d.explain(ctx, err)
	}
	return err
}

// learn records the Secrets that have been created.
func (s *secrets) learn(ctx context.Context, d *Deployer, w secretWait) error {
	st, err := s.state(ctx, d, w.own.namespace, false)
	if err != nil {
		return err
	}
	defer st.mu.Unlock()
	for _, u := range w.own.uses {
		name, _ := chart.SecretKey(u.ref)
		if secret := w.find(name); secret != nil {
			st.data[name] = secret
		}
	}
	return nil
}

// A secretWait waits for the Secrets that one service needs.
type secretWait struct {
	all  needs // of all services, so that an error names everything that is missing of a Secret
	own  needs
	find func(name string) *corev1.Secret
	err  func() error // why the result of find may be outdated
	// makers records who should create what is missing.
	makers func([]runtime.MissingSecret)
	emit   runtime.Emit
}

// run checks whenever something has changed. Secrets that appear soon are not
// reported.
func (w secretWait) run(ctx context.Context, changes <-chan struct{}, until limit) error {
	end := time.NewTimer(time.Until(until.end))
	defer end.Stop()
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for {
		missing := w.own.missing(w.find)
		i := slices.IndexFunc(missing, func(m runtime.MissingSecret) bool { return m.Never != "" })
		switch err := w.err(); {
		case len(missing) == 0:
			return nil
		case i >= 0:
			return &runtime.CommonError{Text: missing[i].Never}
		case apierrors.IsForbidden(err):
			return fmt.Errorf("wait for %s: %w", missing[0], err)
		case !time.Now().Before(until.end):
			return w.over(missing, until.err())
		}
		select {
		case <-changes:
		case <-report.C:
			w.makers(missing)
			w.emit(runtime.WaitingFor{What: w.text(missing)})
		case <-end.C:
		case <-ctx.Done():
			return w.over(missing, context.Cause(ctx))
		}
	}
}

// text describes in one line what is waited for.
func (w secretWait) text(missing []runtime.MissingSecret) string {
	text := missing[0].Wanted()
	if n := len(missing) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	if err := w.err(); err != nil {
		text += fmt.Sprintf(" (the cluster does not say: %v)", err)
	}
	return text
}

// over returns the error of a wait that ended without success.
func (w secretWait) over(missing []runtime.MissingSecret, err error) error {
	out := &runtime.SecretsError{Namespace: w.own.namespace, Err: err}
	for _, m := range w.all.missing(w.find) {
		if slices.ContainsFunc(missing, func(own runtime.MissingSecret) bool { return own.Name == m.Name && m.Never == "" }) {
			out.Missing = append(out.Missing, m)
		}
	}
	w.makers(out.Missing)
	return out
}
