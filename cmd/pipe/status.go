package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) statusCmd() *cobra.Command {
	var (
		env  envFlags
		part partFlags
		show showFlags
	)
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
		Args: takes("ENV"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			look, err := a.openLook(ctx, cmd, part)
			if err != nil {
				return err
			}
			e, err := a.environment(cmd, look, args[0], env)
			if err != nil {
				return err
			}
			live, err := look.Inspector.Live(ctx, e.Key)
			if err != nil {
				return look.Explain(err)
			}
			st, err := inspect.StatusOf(e, live, a.now())
			if err != nil {
				return err
			}
			return a.write(show.output, st, func() error { return ui.Status(a.stdout, st) })
		},
	}
	env.add(cmd)
	part.addCluster(cmd)
	show.addOutput(cmd)
	cmd.ValidArgsFunction = a.completeEnvironments(&part, 1)
	return cmd
}
