package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// teamLabel is the label that says who is called.
const teamLabel = "team"

// A house runs the pipelines of its teams.
type house struct {
	dir   string   // a folder for each team, with its Pipelinefile
	teams []string // their names
	// open puts a runtime together for the sources below a folder.
	open func(ctx context.Context, dir string) (*local.Runtime, error)
}

// evaluate makes the plan of a team for an environment. The Pipelinefile is
// somebody else's text: it reads the team's folder and nothing else, and takes
// no more time and memory than the limits allow.
func (h *house) evaluate(ctx context.Context, team, env string) (*plan.Plan, error) {
	libraries, err := modules()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(h.dir, team)
	p, err := interp.Eval(ctx, filepath.Join(dir, "Pipelinefile"), interp.Options{
		Environment: plan.EnvironmentRef{Name: env},
		Root:        dir, // not the git repository around it, which other teams share
		Limits:      interp.Limits{Steps: 10_000_000, Size: 8 << 20},
		Builtins:    []*builtins.Func{owner(h.teams)},
		Modules:     libraries,
	})
	if err != nil {
		return nil, err
	}
	return p, interp.Refuse(dir, p, check(p, team))
}

// check holds a plan to the rules of the house. A plan is data: what is wrong
// with it can be said where it was declared.
func check(p *plan.Plan, team string) (wrong []plan.Diagnostic) {
	if p.Pipeline.Name != team { // it names the namespaces, and those of others are not to be touched
		wrong = append(wrong, plan.Diagnostic{
			Pos:     p.Pipeline.Pos,
			Message: fmt.Sprintf("the pipeline of team %s is named %q", team, p.Pipeline.Name),
			Hint:    fmt.Sprintf("write pipeline(%q)", team),
		})
	}
	for _, s := range p.Services {
		if s.Workload.Labels[teamLabel] == "" {
			wrong = append(wrong, plan.Diagnostic{
				Pos:     s.Pos,
				Message: fmt.Sprintf("service %s has no owner", s.Name),
				Hint:    fmt.Sprintf("give it labels = owner(%q)", team),
			})
		}
	}
	return wrong
}

// preview says what deploy would do. It changes nothing.
func (h *house) preview(ctx context.Context, team, env string) (steps []runtime.Step, err error) {
	err = h.carry(ctx, team, env, func(rt *local.Runtime, req runtime.Request) error {
		steps, err = rt.Preview(ctx, req)
		return err
	})
	return steps, err
}

// deploy carries the plan of a team out, and tells events what happens.
func (h *house) deploy(ctx context.Context, team, env, by string, events func(runtime.Event)) (rec *runtime.RunRecord, err error) {
	err = h.carry(ctx, team, env, func(rt *local.Runtime, req runtime.Request) error {
		req.By, req.Events = by, events
		rec, err = rt.Run(ctx, req)
		return err
	})
	return rec, err
}

// carry evaluates the Pipelinefile of a team, opens a runtime for it, and lets
// do ask that for the plan to be carried out.
func (h *house) carry(ctx context.Context, team, env string, do func(*local.Runtime, runtime.Request) error) error {
	p, err := h.evaluate(ctx, team, env)
	if err != nil {
		return err
	}
	rt, err := h.open(ctx, filepath.Join(h.dir, team))
	if err != nil {
		return err
	}
	err = do(rt, runtime.Request{Action: runtime.Deploy, Plan: p})
	return errors.Join(err, rt.Close())
}
