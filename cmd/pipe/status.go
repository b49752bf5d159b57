package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) statusCmd() *cobra.Command {
	var show showFlags
	cmd := &cobra.Command{
		Use:   "status ENV",
		Short: "Show the state of an environment",
		Long: `status shows the stages of an environment in order and its services: for each, whether it is
skipped, its health and the reason if it is not healthy, its revision, image and age, and how
it differs from the last run or from the plan. Releases in its namespace that belong to no
service are listed separately. It takes six requests to the API server, regardless of the
number of services, and five more for each further namespace of a service.`,
		Example: `  pipe status staging
  pipe status shop/staging --context staging
  pipe status staging -o json | jq '.stages[].services[] | select(.health != "healthy")'`,
	}
	a.onEnvironment(cmd, func(op operation) error {
		ctx := op.cmd.Context()
		live, err := op.cluster.Inspector.Live(ctx, op.env)
		if err != nil {
			return op.cluster.Explain(err)
		}
		st, err := inspect.StatusOf(op.env, live, a.now())
		if err != nil {
			return err
		}
		return a.write(show.output, st, func() error { return ui.Status(a.stdout, st) })
	})
	show.addOutput(cmd)
	return cmd
}
