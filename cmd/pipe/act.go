package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// actFlags are the flags of a verb that acts on an environment.
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

// actCmd returns the command for an action on an environment.
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
	return a.actCmd(runtime.Deploy, "Deploy the last plan of an environment again", `deploy runs the last plan of an environment again, with its overrides: it
builds the images that the registry does not have, and deploys the services that
are not up to date. It needs no Pipelinefile; sources and charts that are directories
are read from the current workspace. To deploy a changed Pipelinefile, use
"pipe run --env ENV". Stopped services are started again.`, `  pipe deploy staging
  pipe deploy staging --service api --service web --force
  pipe deploy shop/staging --context staging --prune --wait-lock`)
}

func (a *app) stopCmd() *cobra.Command {
	return a.actCmd(runtime.Stop, "Scale an environment to zero and keep its data", `stop scales the services of an environment to zero, the last stage first, and suspends
its scheduled jobs. Volumes and credentials are kept, and the number of replicas is
recorded: the next deploy or "pipe start" restores it. Jobs with on="stop" run
before the services of their stage and of earlier stages are stopped. It needs no Pipelinefile.`, `  pipe stop staging
  pipe stop staging --service api
  pipe stop shop/staging --context staging --timeout 10m`)
}

func (a *app) startCmd() *cobra.Command {
	return a.actCmd(runtime.Start, "Start a stopped environment", `start restores the services that stop has scaled to zero, the first stage first.
It builds nothing and deploys no new image. Services that are not stopped are unchanged.`, `  pipe start staging
  pipe start staging --service api`)
}

func (a *app) restartCmd() *cobra.Command {
	return a.actCmd(runtime.Restart, "Roll the pods of an environment", `restart replaces the pods of an environment with new ones of the same revision, stage by
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

// act runs a request on an environment.
func (a *app) act(cmd *cobra.Command, env *runtime.Environment, flags actFlags, req runtime.Request) error {
	p := env.Plan
	if req.Plan != nil {
		p = req.Plan
	}
	return a.withParts(cmd, flags.part, p, func(rt *local.Runtime) error {
		return a.carryOut(cmd.Context(), rt, req, p, flags.show)
	})
}

// withParts opens the parts that p needs and calls do.
func (a *app) withParts(cmd *cobra.Command, part partFlags, p *plan.Plan, do func(*local.Runtime) error) error {
	rt, err := a.openParts(cmd.Context(), cmd, part, evaluation{plan: p, workspace: a.workspace()}, false)
	if err != nil {
		return err
	}
	defer a.closeParts(rt)
	return do(rt)
}
