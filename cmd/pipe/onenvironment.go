package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// targetFlags select an environment and its cluster.
type targetFlags struct {
	env  envFlags
	part partFlags
}

// An operation is a verb that runs on an existing environment.
type operation struct {
	cmd     *cobra.Command
	cluster *local.Cluster
	env     *runtime.Environment
}

// onEnvironment makes cmd a verb that takes one environment, ENV: it adds the
// flags that select it, completion, and do, which is called with the
// environment. It returns the flags, for the completion of others. history.go
// is a short example.
func (a *app) onEnvironment(cmd *cobra.Command, do func(operation) error) *targetFlags {
	var flags targetFlags
	cmd.Args = takes("ENV")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		op, err := a.openEnvironment(cmd.Context(), cmd, args[0], flags)
		if err != nil {
			return err
		}
		return do(op)
	}
	flags.env.add(cmd)
	flags.part.addCluster(cmd)
	cmd.ValidArgsFunction = a.completeEnvironments(&flags.part, 1)
	return &flags
}

// openEnvironment finds an environment for a verb. It starts nothing but, with --local, the
// local cluster.
func (a *app) openEnvironment(ctx context.Context, cmd *cobra.Command, name string, flags targetFlags) (operation, error) {
	cluster, err := a.openCluster(ctx, cmd, flags.part)
	if err != nil {
		return operation{}, err
	}
	env, err := a.environment(cmd, cluster, name, flags.env)
	return operation{cmd: cmd, cluster: cluster, env: env}, err
}
