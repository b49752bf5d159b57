package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// Skip leaves services out of the environment's runs (E4), regardless of the
// Pipelinefile, until Unskip.
func (e Environments) Skip(ctx context.Context, key EnvironmentKey, services ...string) error {
	return e.override(ctx, key, services, false, func(o *Override) { o.Skip = new(true) })
}

// Unskip includes services in the environment's runs again (E4), even if the
// Pipelinefile skips them.
func (e Environments) Unskip(ctx context.Context, key EnvironmentKey, services ...string) error {
	return e.override(ctx, key, services, true, func(o *Override) { o.Skip = new(false) })
}

// Move moves services to another stage in the environment (S6); an empty
// stage removes the override.
func (e Environments) Move(ctx context.Context, key EnvironmentKey, stage string, services ...string) error {
	return e.override(ctx, key, services, stage == "", func(o *Override) { o.Stage = stage })
}

// override changes the overrides of services, which must be in the plan. If back is
// set, it removes an override, even of a service that is no longer in the plan.
func (e Environments) override(ctx context.Context, key EnvironmentKey, services []string, back bool, change func(*Override)) error {
	return e.edit(ctx, key, func(env *Environment) error {
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

// noStage returns the error for a stage that p does not have.
func noStage(p *plan.Plan, name string) error {
	var all []string
	for _, st := range p.Stages {
		all = append(all, st.Name)
	}
	hint := ""
	if near := misspell.Nearest(name, all); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fmt.Errorf("pipeline %s has no stage %q%s; it has %s", p.Pipeline.Name, name, hint, strings.Join(all, ", "))
}

// edit changes an existing environment. After a concurrent change it retries on the new
// version, so that no change is lost.
func (e Environments) edit(ctx context.Context, key EnvironmentKey, change func(*Environment) error) error {
	for {
		env, err := e.Store.Environment(ctx, key)
		if err != nil {
			return err
		}
		if err := change(env); err != nil {
			return err
		}
		if err := e.Store.Save(ctx, env); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
