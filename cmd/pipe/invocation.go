package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// An invocation is one call of a verb that takes a Pipelinefile: the file and the flags.
// Flags that the verb does not have are zero.
//
// Its methods evaluate the file in these ways:
//
//   - evaluateFor is what all others call: for any environment, with parameters besides
//     those of the flags.
//   - evaluate does it for the environment of --env as if that were new. Verbs that ask no
//     cluster need no other.
//   - evaluateRecorded is evaluate and, if parameters are missing, withRecorded, which
//     takes them from the record of the environment. Nothing is started for it. Verbs that
//     compare the file with the cluster call it first.
//   - evaluateAgain is called once the cluster is open, with what the first evaluation
//     returned: a clone or a preview is evaluated as one, with its own parameters.
//
// begin calls evaluate or evaluateRecorded and shows progress.
type invocation struct {
	*app
	cmd   *cobra.Command
	file  string
	eval  evalFlags
	part  partFlags
	show  showFlags
	flags runFlags
}

// onFile makes cmd a verb that takes a Pipelinefile: with completion, and do, which is
// called with the file that was found. The flags of v are the verb's to add.
func (a *app) onFile(cmd *cobra.Command, v *invocation, do func(*invocation) error) {
	cmd.Args, cmd.ValidArgsFunction = oneFile, completeFile
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := a.find(cmd, args)
		if err != nil {
			return err
		}
		v.app, v.cmd, v.file = a, cmd, file
		return do(v)
	}
}

// addCompared adds the flags of a verb that compares a Pipelinefile with what is deployed.
func (v *invocation) addCompared(a *app, cmd *cobra.Command, detail *bool) {
	v.eval.add(cmd)
	v.flags.addServices(cmd)
	v.flags.addForce(cmd)
	v.flags.addPrune(cmd)
	v.flags.addTakeOver(cmd)
	v.part.add(cmd)
	v.show.add(cmd)
	cmd.Flags().BoolVar(detail, "detailed-exitcode", false,
		"exit with status 2 if there is something to do, e.g. pipe "+cmd.Name()+" --detailed-exitcode")
	a.completeNames(cmd, &v.eval, &v.part)
}

// An evaluation is a plan and the folder that its paths are below.
type evaluation struct {
	plan      *plan.Plan
	workspace string
	recorded  []string // parameters with the value that the environment has of them
}

// evaluate makes the plan of a Pipelinefile. What it prints is shown as it is
// printed.
func (v *invocation) evaluate(ctx context.Context, printed func(plan.Pos, string)) (evaluation, error) {
	return v.evaluateFor(ctx, plan.EnvironmentRef{Name: v.eval.env, Kind: plan.KindEnvironment}, nil, printed)
}

// evaluateFor makes the plan of a Pipelinefile for an environment. What the
// flags say goes before params.
func (v *invocation) evaluateFor(ctx context.Context, ref plan.EnvironmentRef, params map[string]string, printed func(plan.Pos, string)) (evaluation, error) {
	given, err := v.parameters(v.cmd, v.eval)
	if err != nil {
		return evaluation{}, err
	}
	params, recorded := below(params, given)
	root, err := interp.Workspace(v.file)
	if err != nil {
		return evaluation{}, err
	}
	p, err := interp.Eval(ctx, v.file, interp.Options{
		Environment: ref,
		Params:      params,
		Root:        root,
		Cache:       v.moduleCache(),
		Version:     version, // of a release, for require_version()
		Trees:       v.eval.trees,
		Print:       printed,
	})
	return evaluation{p, root, recorded}, err
}

// begin starts showing progress, evaluates the file in one of the ways of v, and checks
// the names of services that are given for it.
func (v *invocation) begin(ctx context.Context, evaluate func(context.Context, func(plan.Pos, string)) (evaluation, error)) (evaluation, error) {
	view, err := v.progress(v.cmd, v.show)
	if err != nil {
		return evaluation{}, err
	}
	view.Doing("evaluating " + v.file)
	e, err := evaluate(ctx, v.printed(view))
	if err != nil {
		return e, err
	}
	return e, checkServices(v.cmd, e.plan, v.flags.services)
}

// evaluateAgain evaluates a file for a clone or a preview: as one, and with the
// parameters of its last plan, at first those of its source, unless the flags
// give others (E2). What it prints was shown. Of any other environment e is what it is.
func (v *invocation) evaluateAgain(ctx context.Context, rt *local.Runtime, e evaluation) (evaluation, error) {
	env, err := rt.Store.Environment(ctx, runtime.EnvironmentKey{Pipeline: e.plan.Pipeline.Name, Name: v.eval.env})
	switch {
	case errors.Is(err, runtime.ErrNotFound):
		return e, nil
	case err != nil:
		return e, err
	case env.Source == "":
		return e, nil
	}
	params := env.Params()
	maps.DeleteFunc(params, func(name, _ string) bool { // the file does not have it any more
		return !slices.ContainsFunc(e.plan.Params, func(p plan.Param) bool { return p.Name == name })
	})
	return v.evaluateFor(ctx, env.Ref(), params, nil)
}
