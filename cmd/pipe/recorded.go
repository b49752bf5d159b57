package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// evaluateRecorded is evaluate for an environment that may exist already: a parameter
// without a default and without a given value gets the value in the environment's last
// plan.
func (v *invocation) evaluateRecorded(ctx context.Context, printed func(plan.Pos, string)) (evaluation, error) {
	e, err := v.evaluate(ctx, printed)
	var wrong *interp.Error
	if !errors.As(err, &wrong) || len(wrong.Missing) == 0 {
		return e, err
	}
	return v.withRecorded(ctx, wrong)
}

// withRecorded evaluates a file with missing parameters taken from the
// environment. If the environment does not have all of them, or cannot be read,
// it returns the original error.
func (v *invocation) withRecorded(ctx context.Context, wrong *interp.Error) (evaluation, error) {
	given, err := v.parameters(v.cmd, v.eval)
	if err != nil {
		return evaluation{}, err
	}
	key, err := v.keyIn(ctx, v.file, v.eval.ref(), given)
	if err != nil {
		return evaluation{}, wrong
	}
	env, err := v.recordOf(ctx, v.cmd, v.part, key)
	var damaged *runtime.DamagedError
	if errors.As(err, &damaged) {
		return evaluation{}, err
	}
	if err != nil {
		return evaluation{}, wrong
	}
	recorded, taken := env.Params(), map[string]string{}
	for {
		for _, name := range wrong.Missing {
			value, ok := recorded[name]
			if !ok {
				return evaluation{}, wrong
			}
			taken[name] = value
		}
		e, err := v.evaluateFor(ctx, env.Ref(), taken, nil)
		if !errors.As(err, &wrong) || len(wrong.Missing) == 0 { // a parameter may depend on another one
			return e, err
		}
	}
}

// recordOf reads the record of an environment, without starting anything.
func (a *app) recordOf(ctx context.Context, cmd *cobra.Command, part partFlags, key runtime.EnvironmentKey) (*runtime.Environment, error) {
	opts, err := a.partOptions(cmd, part, evaluation{workspace: a.dir}, true)
	if err != nil {
		return nil, err
	}
	cluster, err := a.cluster(ctx, opts)
	if err != nil {
		return nil, err
	}
	return cluster.Store.Environment(ctx, key)
}

// keyIn returns the environment as a file declares it, using placeholders for missing
// parameters.
func (a *app) keyIn(ctx context.Context, file string, ref plan.EnvironmentRef, params map[string]string) (runtime.EnvironmentKey, error) {
	p, err := a.outline(ctx, file, ref, params)
	if err != nil {
		return runtime.EnvironmentKey{}, err
	}
	return runtime.KeyOf(p), nil
}

// outline evaluates a file with placeholders for missing parameters.
func (a *app) outline(ctx context.Context, file string, ref plan.EnvironmentRef, params map[string]string) (*plan.Plan, error) {
	root, err := interp.Workspace(file)
	if err != nil {
		return nil, err
	}
	return interp.Eval(ctx, file, interp.Options{
		Environment: ref, Params: params, StandIns: true,
		Root: root, Cache: a.moduleCache(), Version: version,
	})
}

// noteRecorded reports the parameters that were taken from the environment.
func (a *app) noteRecorded(e evaluation) {
	var parts []string
	for _, p := range e.plan.Params {
		if slices.Contains(e.recorded, p.Name) {
			parts = append(parts, fmt.Sprintf("%s = %q", p.Name, p.Value))
		}
	}
	if len(parts) > 0 {
		a.current().Note(fmt.Sprintf("as environment %s has it: %s", e.plan.Environment.Name, strings.Join(parts, ", ")))
	}
}

// below returns params overridden by the given values, and the names of those
// that were not overridden.
func below(params, given map[string]string) (all map[string]string, stay []string) {
	all = maps.Clone(params)
	if all == nil {
		return given, nil
	}
	maps.Copy(all, given)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if _, ok := given[name]; !ok {
			stay = append(stay, name)
		}
	}
	return all, stay
}
