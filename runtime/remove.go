package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// Orphans returns the releases in an environment that pipe has deployed, and
// whose service its last plan does not have any more (D5), by name.
func (r *Runtime) Orphans(ctx context.Context, key EnvironmentKey) ([]string, error) {
	env, err := r.Store.Environment(ctx, key)
	if err != nil {
		return nil, err
	}
	deployed, err := r.Deployer.Deployed(ctx, key.Namespace())
	if err != nil {
		return nil, err
	}
	own, _ := ownReleases(deployed, key)
	p := env.Plan
	return orphans(own, func(name string) bool { return p != nil && p.Service(name) != nil }), nil
}

func orphans(deployed map[string]Deployed, known func(string) bool) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(deployed)) {
		if !known(name) {
			names = append(names, name)
		}
	}
	return names
}

// pruned returns the releases that are deleted as the plan does not have their
// service any more: at the end of a deploy, if the request says so, and of the
// deletion of the environment.
func (x *run) pruned() []string {
	whole := len(x.req.Services) == 0
	if !(x.req.Action == Deploy && x.req.Prune || x.req.Action == Delete && whole) {
		return nil
	}
	return orphans(x.deployed, func(name string) bool { return x.scope.plan.Service(name) != nil })
}

// prune deletes the releases that are pruned.
func (x *run) prune(ctx context.Context) error {
	var tasks []*sched.Task
	for _, name := range x.toPrune() {
		t := &sched.Task{Name: "delete release " + name, Class: classDeploy}
		t.Do = func(ctx context.Context) error {
			do := func(ctx context.Context) error {
				return guarded("delete release "+name, func() error { return x.pruneOne(ctx, name) })
			}
			if x.Turn != nil {
				return x.Turn.removing(ctx, x, name, do)
			}
			return do(ctx)
		}
		tasks = append(tasks, t)
	}
	results, err := sched.Run(ctx, tasks, sched.Options{Limits: limits(x.scope.plan.Pipeline)})
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return err
}

// toPrune returns the releases to prune now: of a session also those that older runs
// have deployed, or deploy, since this one looked.
func (x *run) toPrune() []string {
	names := x.pruned()
	if x.Turn == nil || !x.req.Prune {
		return names
	}
	for _, name := range x.Turn.unseen(x) {
		if x.scope.plan.Service(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pruneOne deletes one release.
func (x *run) pruneOne(ctx context.Context, name string) error {
	r := Release{
		Pipeline: x.req.Environment.Pipeline, Environment: x.req.Environment.Name, Namespace: x.namespace,
		Service: plan.Service{Name: name},
	}
	if err := x.Deployer.Act(ctx, Delete, r, func(b Body) { x.track.events.Send("", "", b) }); err != nil {
		return fmt.Errorf("delete release %s, whose service is not in the plan: %w", name, err)
	}
	x.track.pruned(name)
	return nil
}

// remove ends an environment whose services are deleted: what is left of them
// and the namespace, then its state. Killed anywhere in it, the environment is
// still there, to be deleted again (A6).
//
// The lease may go with the namespace. Whoever makes the environment anew has
// another one, and then nothing may be removed any more.
func (x *run) remove(ctx context.Context, lease Lease) error {
	key := x.req.Environment
	emit := func(b Body) { x.track.events.Send("", "", b) }
	if err := x.Deployer.Remove(ctx, key, x.req.KeepVolumes, emit); err != nil {
		return fmt.Errorf("remove namespace %s: %w", key.Namespace(), err)
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	held, err := lease.Held(late)
	if err != nil || !held {
		return err
	}
	return x.Store.Delete(late, key)
}

// vanished removes the namespace of an environment that went while its lease was
// waited for: the lease has made it anew.
func (r *Runtime) vanished(ctx context.Context, key EnvironmentKey) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	return r.Deployer.Remove(ctx, key, true, func(Body) {})
}
