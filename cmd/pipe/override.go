package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

// overrideFlags are the flags of verbs that write overrides.
type overrideFlags struct {
	env  envFlags
	part partFlags
	show showFlags
}

func (f *overrideFlags) add(a *app, cmd *cobra.Command) {
	f.env.add(cmd)
	f.part.addCluster(cmd)
	f.show.addOutput(cmd)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.completeEnvironments(&f.part, 1)(cmd, args, word)
		}
		return a.servicesSoon(cmd, &f.part, &f.env, args), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) skipCmd() *cobra.Command {
	var flags overrideFlags
	cmd := &cobra.Command{
		Use:   "skip ENV SERVICE...",
		Short: "Exclude services from an environment's runs",
		Long: `skip excludes services from the runs of an environment from now on, whatever the
Pipelinefile says: they are neither built nor deployed. What is already deployed stays.
An action that names a skipped service with --service still acts on it, and
deleting the environment deletes it.`,
		Example: `  pipe skip staging mail
  pipe skip shop/staging mail search`,
		Args: someServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.override(cmd, args[0], flags, func(ctx context.Context, envs runtime.Environments, key runtime.EnvironmentKey) (string, error) {
				return "skipped in " + key.Name + " from its next run on: " + strings.Join(args[1:], ", "), envs.Skip(ctx, key, args[1:]...)
			})
		},
	}
	flags.add(a, cmd)
	return cmd
}

func (a *app) unskipCmd() *cobra.Command {
	var flags overrideFlags
	cmd := &cobra.Command{
		Use:   "unskip ENV SERVICE...",
		Short: "Include skipped services in an environment's runs again",
		Long: `unskip lets the runs of an environment act on services again, even on those that the
Pipelinefile skips. Environments cloned from it do not change.`,
		Example: `  pipe unskip staging mail
  pipe unskip preview-42 search && pipe deploy preview-42`,
		Args: someServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.override(cmd, args[0], flags, func(ctx context.Context, envs runtime.Environments, key runtime.EnvironmentKey) (string, error) {
				return "no longer skipped in " + key.Name + ": " + strings.Join(args[1:], ", "), envs.Unskip(ctx, key, args[1:]...)
			})
		},
	}
	flags.add(a, cmd)
	return cmd
}

func (a *app) moveCmd() *cobra.Command {
	var flags overrideFlags
	var stage string
	var back bool
	cmd := &cobra.Command{
		Use:   "move ENV SERVICE... --stage STAGE",
		Short: "Move services to another stage of an environment",
		Long: `move moves services to another stage of an environment, regardless of the Pipelinefile,
until "pipe move --back". It takes effect with the next run.`,
		Example: `  pipe move staging search --stage late
  pipe move staging search --back`,
		Args: someServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if back == (stage != "") {
				return usagef(cmd, "give a stage with --stage STAGE, or use --back for the stage of the Pipelinefile")
			}
			return a.override(cmd, args[0], flags, func(ctx context.Context, envs runtime.Environments, key runtime.EnvironmentKey) (string, error) {
				done := fmt.Sprintf("in stage %s of %s from its next run on: %s", stage, key.Name, strings.Join(args[1:], ", "))
				if back {
					done = fmt.Sprintf("in %s again where the Pipelinefile has them: %s", key.Name, strings.Join(args[1:], ", "))
				}
				return done, envs.Move(ctx, key, stage, args[1:]...)
			})
		},
	}
	flags.add(a, cmd)
	cmd.Flags().StringVar(&stage, "stage", "", "the `stage` to move them to, e.g. --stage late")
	cmd.Flags().BoolVar(&back, "back", false, "move them back to the stage of the Pipelinefile, e.g. pipe move staging search --back")
	return cmd
}

func someServices(cmd *cobra.Command, args []string) error {
	if len(args) < 2 {
		return usagef(cmd, "%s takes an environment and at least one service", cmd.CommandPath())
	}
	return nil
}

// override changes the overrides of an environment, and shows the result.
func (a *app) override(cmd *cobra.Command, name string, flags overrideFlags, change func(context.Context, runtime.Environments, runtime.EnvironmentKey) (string, error)) error {
	ctx := cmd.Context()
	op, err := a.openEnvironment(ctx, cmd, name, targetFlags{flags.env, flags.part})
	if err != nil {
		return err
	}
	cluster, env := op.cluster, op.env
	done, err := change(ctx, cluster.Environments, env.Key)
	if err != nil {
		return cluster.Explain(err)
	}
	if flags.show.output != "text" {
		if env, err = cluster.Store.Environment(ctx, env.Key); err != nil {
			return cluster.Explain(err)
		}
	}
	return a.write(flags.show.output, versioned(inspect.Of(env)), func() error {
		_, err := fmt.Fprintln(a.stdout, done)
		return err
	})
}
