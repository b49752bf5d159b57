package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) historyCmd() *cobra.Command {
	var (
		env  envFlags
		part partFlags
		show showFlags
	)
	cmd := &cobra.Command{
		Use:   "history ENV",
		Short: "List the runs of an environment",
		Long: `history lists the runs of an environment that are kept, the newest first: what was done,
by whom, when, from which commit, and how each service ended. -o json has all of it, with
each service's image and times.`,
		Example: `  pipe history staging
  pipe history staging -o json | jq '.runs[0].services'`,
		Args: takes("ENV"),
		RunE: func(cmd *cobra.Command, args []string) error {
			look, err := a.openLook(cmd.Context(), cmd, part)
			if err != nil {
				return err
			}
			e, err := a.environment(cmd, look, args[0], env)
			if err != nil {
				return err
			}
			runs, err := look.Store.Runs(cmd.Context(), e.Key)
			if err != nil {
				return look.Explain(err)
			}
			if runs == nil {
				runs = []runtime.RunRecord{}
			}
			h := inspect.History{Version: inspect.Version, Pipeline: e.Key.Pipeline, Environment: e.Key.Name, Runs: runs}
			return a.write(show.output, h, func() error { return ui.History(a.stdout, h) })
		},
	}
	env.add(cmd)
	part.addCluster(cmd)
	show.addOutput(cmd)
	cmd.ValidArgsFunction = a.completeEnvironments(&part, 1)
	return cmd
}
