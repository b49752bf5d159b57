package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
)

func (a *app) gcCmd() *cobra.Command {
	var (
		part partFlags
		show showFlags
	)
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Delete expired environments",
		Long: `gc deletes the environments of all pipelines whose time to live has expired. Each run does
this, too; gc is for clusters in which nothing runs for days. Environments that a run
holds are left for the next time.`,
		Example: `  pipe gc
  pipe gc --context staging -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer a.hide()
			progress, err := a.progress(cmd, show)
			if err != nil {
				return err
			}
			return a.withParts(cmd, part, nil, func(rt *local.Runtime) error {
				deleted, err := rt.GC(cmd.Context(), a.user, progress.Event)
				a.hide()
				if deleted == nil {
					deleted = []runtime.EnvironmentKey{}
				}
				result := struct {
					Version int                      `json:"version"`
					Deleted []runtime.EnvironmentKey `json:"deleted"`
				}{inspect.Version, deleted}
				return errors.Join(err, a.write(show.output, result, func() error {
					for _, key := range deleted {
						fmt.Fprintf(a.stdout, "deleted environment %s of pipeline %s: it had expired\n", key.Name, key.Pipeline)
					}
					if len(deleted) == 0 && err == nil {
						fmt.Fprintln(a.stdout, "nothing to delete: no environment has expired")
					}
					return nil
				}))
			})
		},
	}
	part.add(cmd)
	show.add(cmd)
	return cmd
}
