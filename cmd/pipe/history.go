package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) historyCmd() *cobra.Command {
	var show showFlags
	cmd := &cobra.Command{
		Use:   "history ENV",
		Short: "List the runs of an environment",
		Long: `history lists the recorded runs of an environment, the newest first: the action, the
user, the time, the commit, and the result of each service. -o json has all details, including
each service's image and times.`,
		Example: `  pipe history staging
  pipe history staging -o json | jq '.runs[0].services'`,
	}
	a.onEnvironment(cmd, func(op operation) error {
		runs, err := op.cluster.Store.Runs(op.cmd.Context(), op.env.Key)
		if err != nil {
			return op.cluster.Explain(err)
		}
		if runs == nil {
			runs = []runtime.RunRecord{}
		}
		h := inspect.History{Version: inspect.Version, Pipeline: op.env.Key.Pipeline, Environment: op.env.Key.Name, Runs: runs}
		return a.write(show.output, h, func() error { return ui.History(a.stdout, h) })
	})
	show.addOutput(cmd)
	return cmd
}
