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
		v      invocation
		detail bool
	)
	cmd := &cobra.Command{
		Use:   "diff [PIPELINEFILE]",
		Short: "Compare a Pipelinefile with what is deployed",
		Long: `diff shows, for each service that a run would deploy, how its objects in the cluster would
change: it compares those of the deployed revision with those that the chart renders now.
Values of Secrets are never shown, only that they differ. An image that is yet
to be built is shown with its future tag. diff changes and starts nothing.`,
		Example: `  pipe diff --env staging
  pipe diff --env staging --service api --set title=Shop
  pipe diff --env staging --prune --detailed-exitcode || echo "status $?"
  pipe diff examples/shop --env staging -o json | jq '.services[].objects[].name'`,
	}
	a.onFile(cmd, &v, func(v *invocation) error { return v.diff(detail) })
	v.addCompared(a, cmd, &detail)
	return cmd
}

func (v *invocation) diff(detail bool) error {
	ctx := v.cmd.Context()
	defer v.hide()
	e, err := v.begin(ctx, v.evaluateRecorded)
	if err != nil {
		return err
	}
	rt, err := v.openParts(ctx, v.cmd, v.part, e, true)
	if err != nil {
		return err
	}
	defer v.closeParts(rt)
	key := runtime.KeyOf(e.plan)
	e, env, err := v.evaluateAgain(ctx, rt, e)
	if err != nil {
		return err
	}
	v.noteRecorded(e)
	v.current().Doing("comparing with what is deployed in " + key.Namespace())
	d, err := v.compare(ctx, rt, env, e)
	if err != nil {
		return err
	}
	v.hide()
	if err := v.write(v.show.output, d, func() error { return ui.Diff(v.stdout, d) }); err != nil {
		return err
	}
	if detail && d.Changes() {
		return errChanges
	}
	return nil
}

// compare returns what a run of the plan of e would change in the cluster. The environment
// is nil if it does not exist.
func (v *invocation) compare(ctx context.Context, rt *local.Runtime, env *runtime.Environment, e evaluation) (inspect.Diff, error) {
	key := runtime.KeyOf(e.plan)
	req := v.request(runtime.Deploy, key, v.flags)
	req.Plan = e.plan
	steps, err := rt.Preview(ctx, req)
	if err != nil {
		return inspect.Diff{}, &runFailure{err, e.plan, key}
	}
	if rt.Inspector == nil {
		return inspect.Diff{}, errors.New("this runtime cannot compare")
	}
	is, err := effective(env, e)
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
