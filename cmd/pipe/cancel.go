package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) cancelCmd() *cobra.Command {
	var show showFlags
	cmd := &cobra.Command{
		Use:   "cancel ENV",
		Short: "Cancel the run that holds an environment",
		Long: `cancel asks the run that holds an environment to stop, on whichever machine it runs. It
returns immediately: the run first completes its current writes and exits with status 130.
It is an error if no run holds the environment.`,
		Example: `  pipe cancel staging
  pipe cancel shop/preview-42 --context staging
  pipe cancel staging -o json | jq -r .holder`,
	}
	a.onEnvironment(cmd, func(op operation) error {
		holder, err := op.cluster.Cancel(op.cmd.Context(), op.env.Key, a.user)
		switch {
		case errors.Is(err, runtime.ErrNotFound):
			return fmt.Errorf("no run holds environment %s of pipeline %s: nothing to cancel", op.env.Key.Name, op.env.Key.Pipeline)
		case err != nil:
			return op.cluster.Explain(err)
		}
		result := struct {
			Version     int    `json:"version"`
			Pipeline    string `json:"pipeline"`
			Environment string `json:"environment"`
			Holder      string `json:"holder"` // the holder whose run was canceled
		}{inspect.Version, op.env.Key.Pipeline, op.env.Key.Name, holder}
		return a.write(show.output, result, func() error {
			_, err := fmt.Fprintf(a.stdout, "asked the run of %s to stop; it first completes its current writes\n", holder)
			return err
		})
	})
	show.addOutput(cmd)
	return cmd
}
