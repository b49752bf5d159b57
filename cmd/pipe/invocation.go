package main

import (
	"context"
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
//   - evaluateFor evaluates it for any environment, with parameters in addition to those
//     of the flags. All other methods call it.
//   - evaluate evaluates it for the environment of --env as if that were new. Verbs that
//     do not use the cluster need only this method.
//   - evaluateRecorded calls evaluate and, if parameters are missing, withRecorded, which
//     reads them from the record of the environment without starting anything. Verbs that
//     compare the file with the cluster call it first.
//   - evaluateAgain is called with the first evaluation when the cluster is open. It
//     evaluates a clone or a preview again, with its kind and its own parameters.
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

// onFile makes cmd a verb that takes a Pipelinefile: it adds completion, and calls do with
// the file that was found. The verb itself adds the flags of v.
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
	v.flags.addAdopt(cmd)
	v.part.add(cmd)
	v.show.add(cmd)
	cmd.Flags().BoolVar(detail, "detailed-exitcode", false,
		"exit with status 2 if there is something to do, e.g. pipe "+cmd.Name()+" --detailed-exitcode")
	a.completeNames(cmd, &v.eval, &v.part)
}

// An evaluation is a plan and the directory that its paths are relative to.
type evaluation struct {
	plan      *plan.Plan
	workspace string
	recorded  []string // parameters whose values come from the environment
}

// evaluate evaluates a Pipelinefile to a plan. printed is called with its output
// immediately.
func (v *invocation) evaluate(ctx context.Context, printed func(plan.Pos, string)) (evaluation, error) {
	return v.evaluateFor(ctx, v.eval.ref(), nil, printed)
}

// evaluateFor evaluates a Pipelinefile for an environment. Parameters of the flags have
// precedence over params.
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
		Version:     version, // set in releases, for require_version()
		Trees:       v.eval.trees,
		Print:       printed,
	})
	return evaluation{p, root, recorded}, err
}

// begin starts showing progress, evaluates the file with one of the methods of v, and
// checks the names in --service.
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

// evaluateAgain evaluates a file for a clone or a preview, with the parameters of its last
// plan, or initially of its source; flags have precedence (E2). Its output was shown by
// the first evaluation. For any other environment, it returns e. It also returns the
// environment, or nil if it does not exist.
func (v *invocation) evaluateAgain(ctx context.Context, rt *local.Runtime, e evaluation) (evaluation, *runtime.Environment, error) {
	env, err := existing(ctx, rt, runtime.KeyOf(e.plan))
	if err != nil || env == nil || env.Source == "" {
		return e, env, err
	}
	params := env.Params()
	maps.DeleteFunc(params, func(name, _ string) bool { // the file no longer declares it
		return !slices.ContainsFunc(e.plan.Params, func(p plan.Param) bool { return p.Name == name })
	})
	e, err = v.evaluateFor(ctx, env.Ref(), params, nil)
	return e, env, err
}
