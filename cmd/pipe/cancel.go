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
		Short: "End the run that holds an environment",
		Long: `cancel asks the run that holds an environment to end, on whatever machine it is. It
returns at once: the run ends what it is writing first, and exits with status 130. That
nobody holds the environment is an error.`,
		Example: `  pipe cancel staging
  pipe cancel shop/preview-42 --context staging
  pipe cancel staging -o json | jq -r .holder`,
	}
	a.onEnvironment(cmd, func(op operation) error {
		holder, err := op.look.Cancel(op.cmd.Context(), op.env.Key, a.user)
		switch {
		case errors.Is(err, runtime.ErrNotFound):
			return fmt.Errorf("no run holds environment %s of pipeline %s: there is nothing to cancel", op.env.Key.Name, op.env.Key.Pipeline)
		case err != nil:
			return op.look.Explain(err)
		}
		result := struct {
			Version     int    `json:"version"`
			Pipeline    string `json:"pipeline"`
			Environment string `json:"environment"`
			Holder      string `json:"holder"` // whose run was asked to end
		}{inspect.Version, op.env.Key.Pipeline, op.env.Key.Name, holder}
		return a.write(show.output, result, func() error {
			_, err := fmt.Fprintf(a.stdout, "asked the run of %s to end; it first finishes what it is writing\n", holder)
			return err
		})
	})
	show.addOutput(cmd)
	return cmd
}
