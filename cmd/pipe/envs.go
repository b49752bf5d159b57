package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) envsCmd() *cobra.Command {
	var (
		env  envFlags
		part partFlags
		show showFlags
	)
	cmd := &cobra.Command{
		Use:   "envs",
		Short: "List environments",
		Long: `envs lists the environments in the cluster, of all pipelines or of one, with the source
that each was cloned from, the number of services and skipped services, and when it expires. An
environment whose record cannot be read is listed as damaged, with the reason, and
the exit status is 1.`,
		Example: `  pipe envs
  pipe envs --pipeline shop --context staging
  pipe envs -o json | jq -r '.environments[].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := a.openCluster(cmd.Context(), cmd, part)
			if err != nil {
				return err
			}
			envs, damaged, err := cluster.Store.Environments(cmd.Context(), env.pipeline)
			if err != nil {
				return cluster.Explain(err)
			}
			list := inspect.OfAll(envs, damaged)
			if err := a.write(show.output, list, func() error { return ui.Environments(a.stdout, list, a.now()) }); err != nil {
				return err
			}
			var errs []error
			for _, d := range damaged {
				errs = append(errs, d)
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringVar(&env.pipeline, "pipeline", "", "only those of this `pipeline`, e.g. --pipeline shop (default: of all)")
	part.addCluster(cmd)
	show.addOutput(cmd)
	return cmd
}
