package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// actFlags are the flags of what acts on an environment.
type actFlags struct {
	env  envFlags
	part partFlags
	show showFlags
	run  runFlags
}

func (f *actFlags) add(a *app, cmd *cobra.Command) {
	f.env.add(cmd)
	f.run.addServices(cmd)
	f.run.addWay(cmd)
	f.part.add(cmd)
	f.show.add(cmd)
	cmd.ValidArgsFunction = a.completeEnvironments(&f.part, 1)
	a.completeServicesOf(cmd, &f.part, &f.env)
}

// actCmd is the command of an action on an environment.
func (a *app) actCmd(action runtime.Action, short, long, example string) *cobra.Command {
	var flags actFlags
	cmd := &cobra.Command{
		Use:     string(action) + " ENV",
		Short:   short,
		Long:    long,
		Example: example,
		Args:    takes("ENV"),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer a.hide()
			if _, err := a.progress(cmd, flags.show); err != nil {
				return err
			}
			env, err := a.actOn(cmd, args[0], flags)
			if err != nil {
				return err
			}
			return a.act(cmd, env, flags, a.request(action, env.Key, flags.run))
		},
	}
	flags.add(a, cmd)
	if action == runtime.Deploy {
		flags.run.addDeploy(cmd)
	}
	return cmd
}

func (a *app) deployCmd() *cobra.Command {
	return a.actCmd(runtime.Deploy, "Deploy the last plan of an environment again", `deploy carries out the last plan of an environment once more, with its overrides: it
builds what the registry does not have, and deploys what is not deployed as it
should be. It needs no Pipelinefile, but for sources and charts that are folders,
which are looked for in the workspace at hand. "pipe run --env ENV" is what takes a
changed Pipelinefile. What is stopped runs again.`, `  pipe deploy staging
  pipe deploy staging --service api --service web --force
  pipe deploy shop/staging --context staging --prune --wait-lock`)
}

func (a *app) stopCmd() *cobra.Command {
	return a.actCmd(runtime.Stop, "Scale an environment to zero and keep its data", `stop scales the services of an environment to zero, the last stage first, and suspends
its scheduled jobs. Volumes and credentials stay, and how many replicas there were is
remembered: the next deploy or "pipe start" brings them back. Jobs with on="stop" run
before what they guard is stopped. It needs no Pipelinefile.`, `  pipe stop staging
  pipe stop staging --service api
  pipe stop shop/staging --context staging --timeout 10m`)
}

func (a *app) startCmd() *cobra.Command {
	return a.actCmd(runtime.Start, "Take a stop back", `start brings back what stop has scaled to zero, the first stage first, as it ran before.
It builds nothing and takes no new image. What is not stopped is left alone.`, `  pipe start staging
  pipe start staging --service api`)
}

func (a *app) restartCmd() *cobra.Command {
	return a.actCmd(runtime.Restart, "Roll the pods of an environment", `restart replaces the pods of an environment by new ones of the same revision, stage after
stage, and waits until they are ready. Jobs do not run again.`, `  pipe restart staging
  pipe restart staging --service api --service web`)
}

// actOn finds the environment to act on.
func (a *app) actOn(cmd *cobra.Command, name string, flags actFlags) (*runtime.Environment, error) {
	a.current().Doing("looking for environment " + name)
	op, err := a.openEnvironment(cmd.Context(), cmd, name, targetFlags{flags.env, flags.part})
	if err != nil {
		return nil, err
	}
	if op.env.Plan != nil {
		return op.env, checkServices(cmd, op.env.Plan, flags.run.services)
	}
	return op.env, nil
}

// act carries out a request on an environment.
func (a *app) act(cmd *cobra.Command, env *runtime.Environment, flags actFlags, req runtime.Request) error {
	p := env.Plan
	if req.Plan != nil {
		p = req.Plan
	}
	return a.withParts(cmd, flags.part, p, func(rt *local.Runtime) error {
		return a.carryOut(cmd.Context(), rt, req, p, flags.show)
	})
}

// withParts opens the parts that p needs for do.
func (a *app) withParts(cmd *cobra.Command, part partFlags, p *plan.Plan, do func(*local.Runtime) error) error {
	rt, err := a.openParts(cmd.Context(), cmd, part, evaluation{plan: p, workspace: a.workspace()}, false)
	if err != nil {
		return err
	}
	defer a.closeParts(rt)
	return do(rt)
}
