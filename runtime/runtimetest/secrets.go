package runtimetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// SetSecret creates a Secret with these keys in a namespace, as another user would.
func (d *Deployer) SetSecret(namespace, name string, keys ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setSecret(namespace, name, keys...)
}

func (d *Deployer) setSecret(namespace, name string, keys ...string) {
	if d.secrets == nil {
		d.secrets = make(map[string]map[string][]string)
	}
	if d.secrets[namespace] == nil {
		d.secrets[namespace] = make(map[string][]string)
	}
	d.secrets[namespace][name] = keys
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// MissingSecrets implements [runtime.Deployer]. A reference without a key uses the key
// "value".
func (d *Deployer) MissingSecrets(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan) ([]runtime.MissingSecret, error) {
	if len(referred(p)) == 0 {
		return nil, nil
	}
	if err := d.world.step(ctx, "Deployer.MissingSecrets", key.Namespace()); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.missing(key.Namespace(), p), nil
}

// AwaitSecrets implements [runtime.Deployer].
func (d *Deployer) AwaitSecrets(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan, service string, emit runtime.Emit) error {
	if err := d.world.step(ctx, "Deployer.AwaitSecrets", service); err != nil {
		return err
	}
	timeout := cmp.Or(time.Duration(p.Service(service).Timeout), 5*time.Minute)
	ctx, stop := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w after %s", runtime.ErrTimeout, timeout))
	defer stop()
	for {
		d.mu.Lock()
		all := d.missing(key.Namespace(), p)
		own := slices.DeleteFunc(all, func(m runtime.MissingSecret) bool { return !slices.Contains(m.Services, service) })
		if d.changed == nil {
			d.changed = make(chan struct{})
		}
		changed := d.changed
		d.mu.Unlock()
		if len(own) == 0 {
			return nil
		}
		emit(runtime.WaitingFor{What: own[0].String()})
		select {
		case <-changed:
		case <-ctx.Done():
			return &runtime.SecretsError{Namespace: key.Namespace(), Missing: own, Err: context.Cause(ctx)}
		}
	}
}

// missing returns the Secrets that the services of p refer to and that do not exist.
func (d *Deployer) missing(namespace string, p *plan.Plan) []runtime.MissingSecret {
	var all []runtime.MissingSecret
	for _, r := range referred(p) {
		keys, there := d.secrets[namespace][r.ref.Name]
		wanted := cmp.Or(r.ref.Key, "value")
		if slices.Contains(keys, wanted) {
			continue
		}
		i := slices.IndexFunc(all, func(m runtime.MissingSecret) bool { return m.Name == r.ref.Name })
		if i < 0 {
			i = len(all)
			m := runtime.MissingSecret{Name: r.ref.Name}
			if there {
				m.Has = append([]string{}, keys...)
			}
			all = append(all, m)
		}
		m := &all[i]
		if !slices.Contains(m.Keys, wanted) {
			m.Keys = append(m.Keys, wanted)
			slices.Sort(m.Keys)
		}
		if !slices.Contains(m.Services, r.service) {
			m.Services = append(m.Services, r.service)
		}
		m.Make = fmt.Sprintf("make %s of %s", strings.Join(m.Keys, ", "), m.Name)
	}
	slices.SortFunc(all, func(a, b runtime.MissingSecret) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// A reference is the use of a secret by a service.
type reference struct {
	service string
	ref     plan.SecretRef
}

// referred returns the uses of Secrets that are not credentials of databases.
func referred(p *plan.Plan) []reference {
	var all []reference
	for _, s := range p.Services {
		for _, ref := range s.SecretRefs() {
			if ref.Service == "" {
				all = append(all, reference{s.Name, ref})
			}
		}
	}
	return all
}
