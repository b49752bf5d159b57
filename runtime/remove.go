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
func (r *run) pruned() []string {
	whole := len(r.req.Services) == 0
	if !(r.req.Action == Deploy && r.req.Prune || r.req.Action == Delete && whole) {
		return nil
	}
	return orphans(r.deployed, func(name string) bool { return r.scope.plan.Service(name) != nil })
}

// prune deletes the releases that are pruned.
func (r *run) prune(ctx context.Context) error {
	var tasks []*sched.Task
	for _, name := range r.toPrune() {
		t := &sched.Task{Name: "delete release " + name, Class: classDeploy}
		t.Do = func(ctx context.Context) error {
			do := func(ctx context.Context) error {
				return guarded("delete release "+name, func() error { return r.pruneOne(ctx, name) })
			}
			if r.Turn != nil {
				return r.Turn.removing(ctx, r, name, do)
			}
			return do(ctx)
		}
		tasks = append(tasks, t)
	}
	results, err := sched.Run(ctx, tasks, sched.Options{Limits: limits(r.scope.plan.Pipeline)})
	for _, result := range results {
		if result.Err != nil {
			return result.Err
		}
	}
	return err
}

// toPrune returns the releases to prune now: of a session also those that older runs
// have deployed, or deploy, since this one looked.
func (r *run) toPrune() []string {
	names := r.pruned()
	if r.Turn == nil || !r.req.Prune {
		return names
	}
	for _, name := range r.Turn.unseen(r) {
		if r.scope.plan.Service(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pruneOne deletes one release.
func (r *run) pruneOne(ctx context.Context, name string) error {
	release := Release{
		Pipeline: r.req.Environment.Pipeline, Environment: r.req.Environment.Name, Namespace: r.namespace,
		Service: plan.Service{Name: name},
	}
	if err := r.Deployer.Act(ctx, Delete, release, func(b Body) { r.track.events.Send("", "", b) }); err != nil {
		return fmt.Errorf("delete release %s, whose service is not in the plan: %w", name, err)
	}
	r.track.pruned(name)
	return nil
}

// remove ends an environment whose services are deleted: what is left of them
// and the namespace, then its state. Killed anywhere in it, the environment is
// still there, to be deleted again (A6).
//
// The lease may go with the namespace. Whoever makes the environment anew has
// another one, and then nothing may be removed any more.
func (r *run) remove(ctx context.Context, lease Lease) error {
	key := r.req.Environment
	emit := func(b Body) { r.track.events.Send("", "", b) }
	if err := r.Deployer.Remove(ctx, key, r.req.KeepVolumes, emit); err != nil {
		return fmt.Errorf("remove namespace %s: %w", key.Namespace(), err)
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	held, err := lease.Held(late)
	if err != nil || !held {
		return err
	}
	return r.Store.Delete(late, key)
}

// vanished removes the namespace of an environment that went while its lease was
// waited for: the lease has made it anew.
func (r *Runtime) vanished(ctx context.Context, key EnvironmentKey) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	return r.Deployer.Remove(ctx, key, true, func(Body) {})
}
