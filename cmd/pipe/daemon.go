package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// daemonCmd is what pipe starts itself with as a background process. It is not
// for people, and not in the help.
func (a *app) daemonCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "daemon",
		Short:  "The parts of pipe that run in the background",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:                "buildkit",
		Short:              "The embedded builder",
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return daemon.Main(cmd.Context(), args) },
	})
	return cmd
}
