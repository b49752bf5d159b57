package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// Orphans returns the names of the releases in an environment that pipe has deployed
// and whose service is no longer in its last plan (D5), sorted.
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

// pruned returns the releases that are deleted because their service is no longer in the
// plan: at the end of a deploy, if the request says so, and when the environment is
// deleted.
func (r *run) pruned() []string {
	whole := len(r.req.Services) == 0
	if !(r.req.Action == Deploy && r.req.Prune || r.req.Action == Delete && whole) {
		return nil
	}
	return orphans(r.deployed, func(name string) bool { return r.scope.plan.Service(name) != nil })
}

// prune deletes the releases to prune.
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

// toPrune returns the releases to prune now. In a session these include releases that
// older runs have deployed, or are deploying, since this one looked.
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

// remove removes an environment whose services are deleted: their leftovers
// and the namespace, then its state. If the process is killed at any point, the
// environment still exists and can be deleted again (A6).
//
// The lease may be deleted with the namespace. If the environment is re-created, it has
// a new lease, and nothing may be removed any more.
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

// vanished removes the namespace of an environment that was deleted while a run waited
// for its lease: acquiring the lease has re-created the namespace.
func (r *Runtime) vanished(ctx context.Context, key EnvironmentKey) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	return r.Deployer.Remove(ctx, key, true, func(Body) {})
}
