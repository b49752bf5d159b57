package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
)

func (a *app) diffCmd() *cobra.Command {
	var (
		eval   evalFlags
		part   partFlags
		show   showFlags
		run    runFlags
		detail bool
	)
	cmd := &cobra.Command{
		Use:   "diff [PIPELINEFILE]",
		Short: "Compare a Pipelinefile with what is deployed",
		Long: `diff shows, for each service that a run would deploy, how its objects in the cluster would
change: those of the revision that is deployed, against those that its chart renders now.
Values of Secrets are never shown; where one differs, that is said. An image that is yet
to be built has the tag that it is going to have. It changes and starts nothing.`,
		Example: `  pipe diff --env staging
  pipe diff --env staging --service api --set title=Shop
  pipe diff --env staging --prune --detailed-exitcode || echo "status $?"
  pipe diff examples/shop --env staging -o json | jq '.services[].objects[].name'`,
		Args:              oneFile,
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := a.find(cmd, args)
			if err != nil {
				return err
			}
			return a.diff(cmd, file, eval, part, show, run, detail)
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
		"exit with status 2 if there is something to do, e.g. pipe diff --detailed-exitcode")
	a.completeNames(cmd, &eval, &part)
	return cmd
}

func (a *app) diff(cmd *cobra.Command, file string, eval evalFlags, part partFlags, show showFlags, flags runFlags, detail bool) error {
	ctx := cmd.Context()
	defer a.hide()
	e, err := a.beginIn(ctx, cmd, file, eval, part, show, flags.services)
	if err != nil {
		return err
	}
	rt, err := a.openParts(ctx, cmd, part, e, true)
	if err != nil {
		return err
	}
	defer a.closeParts(rt)
	key := runtime.EnvironmentKey{Pipeline: e.plan.Pipeline.Name, Name: eval.env}
	if e, err = a.evaluateAgain(ctx, cmd, rt, file, eval, e); err != nil {
		return err
	}
	a.noteRecorded(e)
	a.current().Doing("comparing with what is deployed in " + key.Namespace())
	d, err := a.compare(ctx, rt, key, e, flags)
	if err != nil {
		return err
	}
	a.hide()
	if err := a.write(show.output, d, func() error { return ui.Diff(a.stdout, d) }); err != nil {
		return err
	}
	if detail && d.Changes() {
		return errChanges
	}
	return nil
}

// compare returns what a run of the plan of e would change in the cluster.
func (a *app) compare(ctx context.Context, rt *local.Runtime, key runtime.EnvironmentKey, e evaluation, flags runFlags) (inspect.Diff, error) {
	req := a.request(runtime.Deploy, key, flags)
	req.Plan = e.plan
	steps, err := rt.Preview(ctx, req)
	if err != nil {
		return inspect.Diff{}, &runFailure{err, e.plan, key}
	}
	if rt.Inspector == nil {
		return inspect.Diff{}, errors.New("this runtime shows no cluster")
	}
	is, err := effective(ctx, rt, key, e)
	if err != nil {
		return inspect.Diff{}, err
	}
	hide := rt.Hide(is)
	d, err := inspect.DiffOf(ctx, rt.Changes, key, is, steps, hide)
	if err != nil {
		return inspect.Diff{}, errors.New(hide(err.Error()))
	}
	d.Override(inspect.Overridden(e.plan, is))
	return d, nil
}
