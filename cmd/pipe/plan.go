package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// patience is how long plan waits for a cluster that nobody asked for by name.
const patience = 3 * time.Second

func (a *app) planCmd() *cobra.Command {
	var (
		eval   evalFlags
		part   partFlags
		show   showFlags
		run    runFlags
		detail bool
		again  bool
	)
	cmd := &cobra.Command{
		Use:   "plan [PIPELINEFILE]",
		Short: "Show what a run would do, and why",
		Long: `plan evaluates a Pipelinefile and shows its stages in order, the services in them,
where each is declared, and what a run would build, mirror and deploy. It changes
and starts nothing. What is built and deployed already it tells only when the
cluster and the registry answer.

With -o json or -o yaml it writes the plan itself, as docs/plan-json.md describes.

With --watch it stays, and shows the plan again whenever the Pipelinefile or something
that it reads changes. An error is shown with its position, and the next save goes on.
Ctrl-C ends it. -o json writes a line for each evaluation: the plan, or
{"version": 1, "errors": […]} if the file is wrong.`,
		Example: `  pipe plan
  pipe plan --env staging --context staging --registry registry.example.com/shop --set title=Shop
  pipe plan examples/shop --params staging.yaml --service api --local
  pipe plan --env staging --prune
  pipe plan --detailed-exitcode --kubeconfig staging.conf || echo "status $?"
  pipe plan --watch
  pipe plan -o json | jq '.services[].name'`,
		Args:              oneFile,
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := a.find(cmd, args)
			if err != nil {
				return err
			}
			switch {
			case again && detail:
				return usagef(cmd, "--detailed-exitcode is for one plan, and --watch shows many: give one of them")
			case again:
				return a.planAgain(cmd, file, eval, part, show, run)
			}
			return a.plan(cmd, file, eval, part, show, run, detail)
		},
	}
	eval.add(cmd)
	run.addServices(cmd)
	run.addForce(cmd)
	run.addPrune(cmd)
	run.addTakeOver(cmd)
	part.add(cmd)
	show.add(cmd)
	cmd.Flags().BoolVar(&detail, "detailed-exitcode", false,
		"exit with status 2 if there is something to do, e.g. pipe plan --detailed-exitcode")
	addOnChange(cmd, &again, "show the plan")
	a.completeNames(cmd, &eval, &part)
	return cmd
}

// A prospect is what plan shows.
type prospect struct {
	plan     *plan.Plan
	preview  ui.Preview
	key      runtime.EnvironmentKey
	foreseen error // what will go wrong, as far as that is known already
}

func (a *app) plan(cmd *cobra.Command, file string, eval evalFlags, part partFlags, show showFlags, flags runFlags, detail bool) error {
	defer a.hide()
	p, err := a.foresee(cmd.Context(), cmd, file, eval, part, show, flags, detail)
	if err != nil {
		return err
	}
	a.hide()
	if err := a.write(show.output, p.plan, func() error { return ui.Plan(a.stdout, p.preview) }); err != nil {
		return err
	}
	if p.foreseen != nil {
		return &runFailure{p.foreseen, p.plan, p.key}
	}
	if detail && p.preview.Changes() > 0 {
		return errChanges
	}
	return nil
}

// planAgain shows a plan, and again whenever something that it is made of changes. An
// error is shown and leaves the inputs of the last plan watched.
func (a *app) planAgain(cmd *cobra.Command, file string, eval evalFlags, part partFlags, show showFlags, flags runFlags) error {
	defer a.hide()
	root, err := interp.Workspace(file)
	if err != nil {
		return err
	}
	eval.trees, show.since = &interp.Trees{}, a.now()
	var last reading
	return a.onChange(cmd.Context(), root, func(ctx context.Context, changes []watch.Change) (reading, error) {
		for _, c := range changes {
			eval.trees.Changed(c.Paths)
		}
		p, err := a.foresee(ctx, cmd, file, eval, part, show, flags, false, changes...)
		a.hide()
		var wrong *interp.Error
		var usage *usageError
		switch {
		case ctx.Err() != nil: // it is out of date
			return last, nil
		case errors.As(err, &wrong):
			return reading{slices.Concat(last.inputs, wrong.Inputs), last.builds}, a.failed(show.output, err)
		case err != nil && last.inputs == nil && errors.As(err, &usage):
			return last, err
		case err != nil:
			return last, a.failed(show.output, err)
		}
		is := p.plan
		last = reading{is.Inputs, is.Builds}
		err = a.stream(show.output, is, func() error { return ui.Plan(a.stdout, p.preview) })
		if err == nil && p.foreseen != nil {
			a.report(&runFailure{p.foreseen, is, p.key})
		}
		return last, err
	})
}

// foresee evaluates a file, and asks what a run would do, if that is shown.
func (a *app) foresee(ctx context.Context, cmd *cobra.Command, file string, eval evalFlags, part partFlags, show showFlags, flags runFlags, detail bool, changes ...watch.Change) (*prospect, error) {
	progress, err := a.progress(cmd, show)
	if err != nil {
		return nil, err
	}
	a.changed(changes)
	progress.Doing("evaluating " + file)
	e, err := a.evaluate(ctx, cmd, file, eval, a.printed(progress))
	var wrong *interp.Error
	if errors.As(err, &wrong) && len(wrong.Missing) > 0 {
		asking, stop := patiently(ctx, part)
		e, err = a.withRecorded(asking, cmd, file, eval, part, wrong)
		stop()
	}
	if err == nil {
		err = checkServices(cmd, e.plan, flags.services)
	}
	if err != nil {
		return nil, err
	}
	key := runtime.EnvironmentKey{Pipeline: e.plan.Pipeline.Name, Name: eval.env}
	p := &prospect{plan: e.plan, preview: ui.Preview{Plan: e.plan, Namespace: key.Namespace()}, key: key}
	if show.output != "text" && !detail {
		return p, nil
	}
	is, steps, err := a.preview(ctx, cmd, file, &e, eval, key, part, flags)
	p.plan, p.preview.Plan, p.preview.Recorded = e.plan, e.plan, e.recorded
	if is != nil {
		p.preview.Plan, p.preview.Overridden = is, inspect.Overridden(e.plan, is)
	}
	var foreseen *runtime.RunError
	var usage *usageError
	var owned *runtime.OwnedError
	var elsewhere *runtime.ElsewhereError
	switch {
	case err == nil:
		p.preview.Steps = steps
	case errors.As(err, &foreseen):
		p.preview.Steps, p.foreseen = steps, err
	case detail, ctx.Err() != nil, errors.As(err, &usage), errors.As(err, &owned), errors.As(err, &elsewhere):
		return nil, err
	default: // what the file says is worth seeing all the same
		p.preview.Unknown = err.Error()
	}
	return p, nil
}

// patiently returns the context in which a cluster is asked that may not be there.
func patiently(ctx context.Context, part partFlags) (context.Context, context.CancelFunc) {
	if part.kubeconfig != "" || part.context != "" || part.local {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, patience, &local.UnavailableError{
		Part: "cluster", Err: fmt.Errorf("no answer within %s", patience)})
}

// preview asks what a run would do. The plan is that of e as the environment has
// it; nil: that is not known.
func (a *app) preview(ctx context.Context, cmd *cobra.Command, file string, e *evaluation, eval evalFlags, key runtime.EnvironmentKey, part partFlags, flags runFlags) (*plan.Plan, []runtime.Step, error) {
	a.current().Doing("looking at what is deployed in " + key.Namespace())
	opening, stop := patiently(ctx, part)
	rt, err := a.openParts(opening, cmd, part, *e, true)
	stop()
	if err != nil {
		return nil, nil, err
	}
	defer a.closeParts(rt)
	again, err := a.evaluateAgain(ctx, cmd, rt, file, eval, *e)
	if err != nil {
		return nil, nil, err
	}
	*e = again
	is, err := effective(ctx, rt, key, again)
	if err != nil {
		return nil, nil, err
	}
	req := a.request(runtime.Deploy, key, flags)
	req.Plan = e.plan
	steps, err := rt.Preview(ctx, req)
	return is, steps, err
}
