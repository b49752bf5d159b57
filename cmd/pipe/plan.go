package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/view"
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
	)
	cmd := &cobra.Command{
		Use:   "plan [PIPELINEFILE]",
		Short: "Show what a run would do, and why",
		Long: `plan evaluates a Pipelinefile and shows its stages in order, the services in them,
where each is declared, and what a run would build, mirror and deploy. It changes
and starts nothing. What is built and deployed already it tells only when the
cluster and the registry answer.

With -o json or -o yaml it writes the plan itself, as docs/plan-json.md describes.`,
		Example: `  pipe plan
  pipe plan --env staging --context staging --registry registry.example.com/shop --set title=Shop
  pipe plan examples/shop --params staging.yaml --service api --local
  pipe plan --env staging --prune
  pipe plan --detailed-exitcode --kubeconfig staging.conf || echo "status $?"
  pipe plan -o json | jq '.services[].name'`,
		Args:              oneFile,
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := a.find(cmd, args)
			if err != nil {
				return err
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
	a.completeNames(cmd, &eval, &part)
	return cmd
}

func (a *app) plan(cmd *cobra.Command, file string, eval evalFlags, part partFlags, show showFlags, flags runFlags, detail bool) error {
	ctx := cmd.Context()
	defer a.hide()
	asking, stop := patiently(ctx, part)
	e, err := a.beginIn(asking, cmd, file, eval, part, show, flags.services)
	stop()
	if err != nil {
		return err
	}
	key := runtime.EnvironmentKey{Pipeline: e.plan.Pipeline.Name, Name: eval.env}
	if show.output != "text" && !detail {
		a.hide()
		return a.write(show.output, e.plan, nil)
	}

	preview := ui.Preview{Plan: e.plan, Namespace: key.Namespace()}
	is, steps, err := a.preview(ctx, cmd, file, &e, eval, key, part, flags)
	preview.Plan, preview.Recorded = e.plan, e.recorded
	if is != nil {
		preview.Plan, preview.Overridden = is, view.Overridden(e.plan, is)
	}
	var foreseen *runtime.RunError
	var usage *usageError
	var owned *runtime.OwnedError
	var elsewhere *runtime.ElsewhereError
	switch {
	case err == nil, errors.As(err, &foreseen):
		preview.Steps = steps
	case detail, ctx.Err() != nil, errors.As(err, &usage), errors.As(err, &owned), errors.As(err, &elsewhere):
		return err
	default: // what the file says is worth seeing all the same
		preview.Unknown = err.Error()
	}
	a.hide()
	if err := a.write(show.output, e.plan, func() error { return ui.Plan(a.stdout, preview) }); err != nil {
		return err
	}
	if foreseen != nil {
		return &runFailure{err, e.plan, key}
	}
	if detail && preview.Changes() > 0 {
		return errChanges
	}
	return nil
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
