package local

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A redactor redacts the values of secrets in everything that is shown and stored (D4).
// It knows the values that were requested; no other value can get into a build or a
// pod. It reports values that it cannot redact.
type redactor struct {
	values redact.Values
	notice func(string)

	mu       sync.Mutex
	known    map[string]string // values by the name of their secret; guarded by mu
	names    map[string]bool   // of all plans so far; guarded by mu
	reported map[string]bool   // secrets that were reported; guarded by mu
}

func newRedactor(notice func(string)) *redactor {
	return &redactor{notice: notice, known: make(map[string]string), names: make(map[string]bool), reported: make(map[string]bool)}
}

// add adds the value of a secret.
func (r *redactor) add(ref plan.SecretRef, value string) {
	weak := r.values.Add(value)
	if redact.Public(ref.Key) {
		return
	}
	secret := refName(ref)
	value = strings.TrimSpace(value)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[secret] = value
	if weak != "" {
		r.report(secret, string(weak))
	} else if r.names[value] {
		r.report(secret, inPlan)
	}
}

// inPlan is the reason why a value that equals a name is not redacted.
const inPlan = "it is also a name in the plan"

// report reports once that a value is not redacted. The caller holds the lock.
func (r *redactor) report(secret, why string) {
	if !r.reported[secret] {
		r.reported[secret] = true
		r.notice(fmt.Sprintf("the value of secret %s is not hidden in output: %s; use a longer, random one", secret, why))
	}
}

// hide implements the field Hide of [runtime.Runtime].
func (r *redactor) hide(p *plan.Plan) func(string) string {
	all := namesOf(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range all {
		r.names[name] = true
	}
	for secret, value := range r.known {
		if value != "" && r.names[value] {
			r.report(secret, inPlan)
		}
	}
	return r.values.Except(all...)
}

// namesOf returns the names in a plan, which may be nil: those that it declares and
// those that it refers to. Redacting them would make messages useless.
func namesOf(p *plan.Plan) []string {
	if p == nil {
		return nil
	}
	key := runtime.KeyOf(p)
	all := []string{key.Pipeline, key.Name, key.Namespace(), p.Environment.Source, p.Environment.Branch, p.Pipeline.Registry}
	further := runtime.Environment{Key: key, Plan: p}
	all = append(all, further.FurtherNamespaces()...)
	for _, ref := range p.Pipeline.Sign.Refs() {
		all = append(all, ref.Name, ref.Key)
	}
	for _, param := range p.Params {
		all = append(all, param.Name)
	}
	for _, st := range p.Stages {
		all = append(all, st.Name)
	}
	for _, in := range p.Inputs {
		all = append(all, in.Path)
	}
	for _, b := range p.Builds {
		all = append(all, b.ID, b.Source.Git, b.Source.Ref, b.Source.Path, b.Context, b.Dockerfile, b.Target)
		for _, ref := range b.Secrets {
			all = append(all, ref.Name, ref.Key)
		}
	}
	for _, s := range p.Services {
		all = append(all, s.Name)
		for name, from := range s.AllImages() {
			all = append(all, name, from.Mirror, from.Ref)
		}
		if s.Chart != nil {
			all = append(all, s.Chart.Ref, s.Chart.Version, s.Chart.Repo)
		}
		for _, port := range s.Workload.Ports {
			all = append(all, port.Name, port.Host, port.Path)
			if port.TLS != nil {
				all = append(all, port.TLS.Name)
			}
		}
		for _, v := range s.Workload.Volumes {
			all = append(all, v.Name, v.Path)
		}
		for _, m := range s.Workload.Mounts {
			all = append(all, m.Claim, m.Path)
		}
		for _, f := range s.Workload.Files {
			all = append(all, f.Path)
		}
		for _, of := range s.Workload.PodContainers.All() {
			all = append(all, of.Name)
			for _, e := range of.Env {
				all = append(all, e.Name)
			}
		}
		for _, e := range s.Workload.Env {
			all = append(all, e.Name)
		}
		for _, ref := range s.SecretRefs() {
			all = append(all, ref.Name, ref.Key)
		}
		if d := s.Workload.Database; d != nil {
			all = append(all, d.Engine)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" })
}

// secrets passes the values that its sources return to the redactor.
type secrets struct {
	from     runtime.Secrets
	redactor *redactor
}

func (s secrets) Secret(ctx context.Context, ref plan.SecretRef) (runtime.Secret, error) {
	value, err := s.from.Secret(ctx, ref)
	if err == nil {
		s.redactor.add(ref, value.Reveal())
	}
	return value, err
}
