package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

func (a *app) rollbackCmd() *cobra.Command {
	var flags actFlags
	cmd := &cobra.Command{
		Use:   "rollback ENV RUN",
		Short: "Roll an environment back to a recorded run",
		Long: `rollback deploys the plan and the images of a recorded run, by digest, regardless of
the current state of their sources. RUN is the ID of a run as "pipe history" shows it, or a
unique prefix or suffix. Services that the run skipped are left alone; current skips and
moves apply. Data is not restored.`,
		Example: `  pipe history staging
  pipe rollback staging 20261121-054039-1a2b3c4d
  pipe rollback staging 1a2b --wait-lock`,
		Args: takes("ENV", "RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer a.hide()
			if _, err := a.progress(cmd, flags.show); err != nil {
				return err
			}
			env, err := a.actOn(cmd, args[0], flags)
			if err != nil {
				return err
			}
			return a.withParts(cmd, flags.part, env.Plan, func(rt *local.Runtime) error {
				req := a.request(runtime.Deploy, env.Key, flags.run)
				req.RollbackTo = args[1]
				req, err := rt.Rollback(cmd.Context(), req)
				if err != nil {
					return err
				}
				return a.carryOut(cmd.Context(), rt, req, req.Plan, flags.show)
			})
		},
	}
	flags.add(a, cmd)
	flags.run.addDeploy(cmd)
	return cmd
}
