package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime/local"
)

// completionTime limits the time of a completion.
const completionTime = 2 * time.Second

// completeFile completes the argument of a verb that takes a Pipelinefile.
func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// completeNames completes --service with the services of the Pipelinefile, and
// --env with the environments that its pipeline has in the cluster.
func (a *app) completeNames(cmd *cobra.Command, eval *evalFlags, part *partFlags) {
	environments := func(ctx context.Context, e evaluation) []string {
		opts, err := a.partOptions(cmd, *part, e, true)
		if err != nil {
			return nil
		}
		state, err := local.Store(ctx, opts)
		if err != nil {
			return nil
		}
		envs, _, err := state.Environments(ctx, e.plan.Pipeline.Name)
		if err != nil {
			return nil
		}
		var names []string
		for _, env := range envs {
			names = append(names, cobra.CompletionWithDesc(env.Key.Name, string(env.Kind)))
		}
		return names
	}
	for flag, names := range map[string]func(context.Context, evaluation) []string{"service": serviceNames, "env": environments} {
		// It fails only for an undefined flag.
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.completeFrom(cmd, args, *eval, names)
		})
	}
}

// serviceNames returns the completions of a service.
func serviceNames(_ context.Context, e evaluation) []string {
	var names []string
	for _, s := range e.plan.Services {
		names = append(names, cobra.CompletionWithDesc(s.Name, string(s.Type)+" in "+s.Stage))
	}
	return names
}

// completeFrom completes names of the Pipelinefile in args; none if it cannot
// be evaluated.
func (a *app) completeFrom(cmd *cobra.Command, args []string, eval evalFlags, names func(context.Context, evaluation) []string) ([]string, cobra.ShellCompDirective) {
	ctx, stop := context.WithTimeout(cmd.Context(), completionTime)
	defer stop()
	file, err := a.find(cmd, args)
	if err != nil || a.bindVariables(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	e, err := (&invocation{app: a, cmd: cmd, file: file, eval: eval}).evaluate(ctx, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names(ctx, e), cobra.ShellCompDirectiveNoFileComp
}
