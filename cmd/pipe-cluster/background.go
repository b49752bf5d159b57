package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/role"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/supervise"
)

// superviseCommand and roleCommand are the commands of the background processes, not for users.

func (a *app) superviseCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "supervise",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.home()
			if err != nil {
				return err
			}
			debug.FreeOSMemory() // of the packages' initialization: this process needs little
			return supervise.Run(c.Context(), d)
		},
	}
}

func (a *app) roleCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "role NAME",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := a.home()
			if err != nil {
				return err
			}
			context.AfterFunc(c.Context(), func() {
				time.Sleep(25 * time.Second)
				os.Exit(1) // a component does not end on request; the supervisor would kill this anyway
			})
			return role.Run(c.Context(), args[0], d)
		},
	}
}
