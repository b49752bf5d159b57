package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// Skip leaves services out of the environment's runs (E4), whatever the
// Pipelinefile says, until Unskip.
func (r *Runtime) Skip(ctx context.Context, key EnvironmentKey, services ...string) error {
	return r.override(ctx, key, services, false, func(o *Override) { o.Skip = new(true) })
}

// Unskip lets the environment's runs act on services again (E4), also on those
// that the Pipelinefile skips.
func (r *Runtime) Unskip(ctx context.Context, key EnvironmentKey, services ...string) error {
	return r.override(ctx, key, services, true, func(o *Override) { o.Skip = new(false) })
}

// Move puts services into another stage of the environment (S6); with an empty
// stage they are again where the Pipelinefile has them.
func (r *Runtime) Move(ctx context.Context, key EnvironmentKey, stage string, services ...string) error {
	return r.override(ctx, key, services, stage == "", func(o *Override) { o.Stage = stage })
}

// override changes the overrides of services, which the plan must have. Where
// back is set, an override is taken back: that is also done to a service that
// the plan does not have any more.
func (r *Runtime) override(ctx context.Context, key EnvironmentKey, services []string, back bool, change func(*Override)) error {
	return r.edit(ctx, key, func(env *Environment) error {
		p := env.Plan
		if p == nil {
			return fmt.Errorf("environment %s of pipeline %s has no plan yet: it was never deployed", key.Name, key.Pipeline)
		}
		if env.Overrides == nil {
			env.Overrides = make(map[string]Override)
		}
		var inPlan []string
		for _, name := range services {
			o, has := env.Overrides[name]
			if p.Service(name) == nil && has && back {
				delete(env.Overrides, name)
				continue
			}
			inPlan = append(inPlan, name)
			change(&o)
			if o.Stage != "" && !slices.ContainsFunc(p.Stages, func(st plan.Stage) bool { return st.Name == o.Stage }) {
				return noStage(p, o.Stage)
			}
			if o == (Override{}) {
				delete(env.Overrides, name)
			} else {
				env.Overrides[name] = o
			}
		}
		return known(p, inPlan)
	})
}

// noStage is the error about a stage that p does not have.
func noStage(p *plan.Plan, name string) error {
	var all []string
	for _, st := range p.Stages {
		all = append(all, st.Name)
	}
	hint := ""
	if near := nearest(name, all); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fmt.Errorf("pipeline %s has no stage %q%s; it has %s", p.Pipeline.Name, name, hint, strings.Join(all, ", "))
}

// edit changes an environment that there is. Who changes it at the same time
// loses nothing: the change is made anew on what that one wrote.
func (r *Runtime) edit(ctx context.Context, key EnvironmentKey, change func(*Environment) error) error {
	for {
		env, err := r.Store.Environment(ctx, key)
		if err != nil {
			return err
		}
		if err := change(env); err != nil {
			return err
		}
		if err := r.Store.Save(ctx, env); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
