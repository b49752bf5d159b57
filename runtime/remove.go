package runtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// pruned returns the releases that are deleted because their service is no longer in the
// plan, or is in another namespace: at the end of a deploy, if the request says so, and
// when the environment or the service is deleted.
func (r *run) pruned() []Place {
	switch {
	case r.req.Action == Deploy && r.req.Prune, r.req.Action == Delete && len(r.req.Services) == 0:
		return r.orphans
	case r.req.Action == Delete:
		return slices.DeleteFunc(slices.Clone(r.orphans), func(p Place) bool { return !slices.Contains(r.req.Services, p.Name) })
	}
	return nil
}

// prune deletes the releases to prune.
func (r *run) prune(ctx context.Context) error {
	var tasks []*sched.Task
	for _, place := range r.toPrune() {
		name := "delete release " + place.In(r.namespace)
		t := &sched.Task{Name: name, Class: classDeploy}
		t.Do = func(ctx context.Context) error {
			do := func(ctx context.Context) error {
				return catchPanic(name, func() error { return r.pruneOne(ctx, place) })
			}
			if r.Turn != nil && r.scope.plan.Service(place.Name) == nil {
				return r.Turn.removing(ctx, r, place.Name, do)
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
func (r *run) toPrune() []Place {
	places := r.pruned()
	if r.Turn == nil || !r.req.Prune {
		return places
	}
	places = slices.Clone(places)
	for _, place := range r.Turn.unseen(r) {
		if r.scope.plan.Service(place.Name) == nil {
			places = append(places, place)
		}
	}
	slices.SortFunc(places, ComparePlaces)
	return slices.Compact(places)
}

// pruneOne deletes one release.
func (r *run) pruneOne(ctx context.Context, place Place) error {
	release := Release{
		Pipeline: r.req.Environment.Pipeline, Environment: r.req.Environment.Name, Namespace: place.Namespace, Home: r.namespace,
		Service: plan.Service{Name: place.Name},
	}
	if err := r.Deployer.Act(ctx, Delete, release, func(b Body) { r.track.events.Send("", "", b) }); err != nil {
		return fmt.Errorf("delete release %s, which belongs to no service of the plan: %w", place.In(r.namespace), err)
	}
	r.track.pruned(place, r.scope.plan.Service(place.Name) != nil)
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
	if err := r.Deployer.Remove(ctx, key, r.env.FurtherNamespaces(), r.req.KeepVolumes, emit); err != nil {
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
	return r.Deployer.Remove(ctx, key, nil, true, func(Body) {})
}
