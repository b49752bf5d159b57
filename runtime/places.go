package runtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// NamespaceOf returns the namespace of the release of a service in the environment (E9).
func (k EnvironmentKey) NamespaceOf(s *plan.Service) string {
	p := plan.Plan{Pipeline: plan.Pipeline{Name: k.Pipeline}, Environment: plan.EnvironmentRef{Name: k.Name, Namespace: k.Namespace()}}
	return p.NamespaceOf(s)
}

// namespacesOf returns the namespaces of the releases of p, without that of the
// environment, sorted.
func (k EnvironmentKey) namespacesOf(p *plan.Plan) []string {
	var all []string
	if p == nil {
		return nil
	}
	for i := range p.Services {
		if namespace := k.NamespaceOf(&p.Services[i]); namespace != k.Namespace() {
			all = append(all, namespace)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// FurtherNamespaces returns the namespaces, besides its own, in which releases of the
// environment may be, sorted (E9).
func (e *Environment) FurtherNamespaces() []string {
	return joined(e.Namespaces, e.Key.namespacesOf(e.Plan))
}

// AllNamespaces returns the namespaces in which releases of the environment may be, its own
// first.
func (e *Environment) AllNamespaces() []string {
	return append([]string{e.Key.Namespace()}, e.FurtherNamespaces()...)
}

// joined returns the elements of two sorted lists, sorted.
func joined(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// A Place is where a release is: its name is unique in its namespace.
type Place struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// In names the release, and its namespace if that is not the given one.
func (p Place) In(namespace string) string {
	if p.Namespace == namespace {
		return p.Name
	}
	return fmt.Sprintf("%s in namespace %s", p.Name, p.Namespace)
}

// ComparePlaces orders places by name, and then by namespace.
func ComparePlaces(a, b Place) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// namespaceOf returns the namespace of the release of s: that of the plan or, if it was
// not deployed there yet and the run does not deploy, the one in which it is.
func (r *run) namespaceOf(s *plan.Service) string {
	return cmp.Or(r.elsewhere[s.Name], r.req.Environment.NamespaceOf(s))
}

// namespaces returns the namespaces in which releases of the environment may be.
func (r *run) namespaces() []string {
	further := joined(r.env.FurtherNamespaces(), r.req.Environment.namespacesOf(r.scope.plan))
	return append([]string{r.namespace}, further...)
}

// noteNamespaces records the namespaces of the plan, before anything is written to them: a
// run that is killed leaves nothing there that the next one does not find (A6).
func (r *run) noteNamespaces(ctx context.Context) error {
	of := r.req.Environment.namespacesOf(r.req.Plan)
	if all := r.env.FurtherNamespaces(); len(joined(all, of)) == len(all) {
		return nil
	}
	return r.save(ctx, func(env *Environment) { env.Namespaces = joined(env.Namespaces, of) })
}

// RecordedNamespaces returns the further namespaces of an environment whose record is
// damaged: those of the plans of its runs that can be read.
func (e Environments) RecordedNamespaces(ctx context.Context, key EnvironmentKey) (all []string) {
	runs, err := e.Store.Runs(ctx, key)
	if err != nil {
		return nil
	}
	for _, run := range runs {
		if record, err := e.Store.Run(ctx, key, run.ID); err == nil {
			all = joined(all, key.namespacesOf(record.Plan))
		}
	}
	return all
}

// lists returns the tasks that list what is deployed in all namespaces. The last one
// comes after the others.
func (r *run) lists() []*sched.Task {
	var mu sync.Mutex
	found := make(map[string]map[string]Deployed)
	all := &sched.Task{Name: "look at what is deployed", Class: -1}
	var tasks []*sched.Task
	for _, namespace := range r.namespaces() {
		t := &sched.Task{Name: "look at namespace " + namespace}
		if namespace == r.namespace { // most of the others depend on it
			t.Class = -1
		}
		t.Do = func(ctx context.Context) error {
			in, err := r.Deployer.Deployed(ctx, namespace)
			if err != nil {
				return fmt.Errorf("look at what is deployed in namespace %s: %w", namespace, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found[namespace] = in
			return nil
		}
		all.Needs = append(all.Needs, t)
		tasks = append(tasks, t)
	}
	all.Do = func(context.Context) error {
		r.settleReleases(found)
		return nil
	}
	return append(tasks, all)
}

// settleReleases sets which releases the services have, which belong to others, and which
// ones belong to no service.
func (r *run) settleReleases(found map[string]map[string]Deployed) {
	r.deployed, r.others, r.orphans = placed(found, r.scope.plan, r.req.Environment)
	if r.req.Action == Deploy {
		return
	}
	r.elsewhere = make(map[string]string)
	r.orphans = slices.DeleteFunc(r.orphans, func(p Place) bool {
		_, deployed := r.deployed[p.Name]
		if deployed || r.scope.plan.Service(p.Name) == nil {
			return false
		}
		r.deployed[p.Name], r.elsewhere[p.Name] = found[p.Namespace][p.Name], p.Namespace
		return true
	})
}

// placed sorts what is deployed in the namespaces of an environment: the releases of the
// services of p, those that others have where services of p are to have theirs, and the
// releases of the environment that belong to no service of p, sorted. p may be nil.
func placed(found map[string]map[string]Deployed, p *plan.Plan, key EnvironmentKey) (deployed, others map[string]Deployed, orphans []Place) {
	deployed, others = make(map[string]Deployed), make(map[string]Deployed)
	for namespace, in := range found {
		for name, d := range in {
			is := p != nil && p.Service(name) != nil && key.NamespaceOf(p.Service(name)) == namespace
			switch own := d.Owner == key.Owner(); {
			case own && is:
				deployed[name] = d
			case own:
				orphans = append(orphans, Place{namespace, name})
			case is:
				others[name] = d
			}
		}
	}
	slices.SortFunc(orphans, ComparePlaces)
	return deployed, others, orphans
}

// absentWhy returns why a service is not deployed where the plan has it.
func (r *run) absentWhy(s *service) string {
	in := ""
	if namespace := r.namespaceOf(s.Service); namespace != r.namespace {
		in = " in namespace " + namespace
	}
	i := slices.IndexFunc(r.orphans, func(p Place) bool { return p.Name == s.Name })
	if i < 0 {
		return "not deployed yet" + in
	}
	old := r.orphans[i].Namespace
	if r.req.Prune {
		return fmt.Sprintf("not deployed yet%s; its release in namespace %s is deleted", in, old)
	}
	return fmt.Sprintf("not deployed yet%s; its release in namespace %s is kept, which --prune deletes", in, old)
}

// Orphans returns the releases of an environment that pipe has deployed, and which belong
// to no service of its last plan (D5), sorted by name.
func (r *Runtime) Orphans(ctx context.Context, key EnvironmentKey) ([]Place, error) {
	env, err := r.Store.Environment(ctx, key)
	if err != nil {
		return nil, err
	}
	found := make(map[string]map[string]Deployed)
	for _, namespace := range env.AllNamespaces() {
		if found[namespace], err = r.Deployer.Deployed(ctx, namespace); err != nil {
			return nil, err
		}
	}
	_, _, orphans := placed(found, env.Plan, key)
	return orphans, nil
}
