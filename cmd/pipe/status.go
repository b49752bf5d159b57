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
		Short: "Show how an environment stands",
		Long: `status shows the stages of an environment in order and its services: whether each is
skipped, its health and why it is not good, its revision, its image, its age, and what is
not as the last run left it or as the plan has it. Releases in its namespace that no
service has are listed apart. It takes five requests to the API server, however many
services there are.`,
		Example: `  pipe status staging
  pipe status shop/staging --context staging
  pipe status staging -o json | jq '.stages[].services[] | select(.health != "healthy")'`,
	}
	a.onEnvironment(cmd, func(op operation) error {
		ctx := op.cmd.Context()
		live, err := op.look.Inspector.Live(ctx, op.env.Key)
		if err != nil {
			return op.look.Explain(err)
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
