package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

// overrideFlags are the flags of what writes overrides.
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
		Short: "Leave services out of an environment's runs",
		Long: `skip leaves services out of the runs of an environment from now on, whatever the
Pipelinefile says: they are not built and not deployed. What is deployed of them stays.
An action that names a skipped service with --service acts on it all the same, and
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
		Short: "Let an environment's runs act on services again",
		Long: `unskip lets the runs of an environment act on services again, also on those that the
Pipelinefile skips. Environments that were cloned from it stay as they are.`,
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
		Short: "Put services into another stage of an environment",
		Long: `move puts services into another stage of an environment, whatever the Pipelinefile
says, until "pipe move --back". The runs after it take them there.`,
		Example: `  pipe move staging search --stage late
  pipe move staging search --back`,
		Args: someServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if back == (stage != "") {
				return usagef(cmd, "say where to: either --stage STAGE, or --back to where the Pipelinefile has them")
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
	cmd.Flags().StringVar(&stage, "stage", "", "the `stage` to put them into, e.g. --stage late")
	cmd.Flags().BoolVar(&back, "back", false, "put them where the Pipelinefile has them, e.g. pipe move staging search --back")
	return cmd
}

func someServices(cmd *cobra.Command, args []string) error {
	if len(args) < 2 {
		return usagef(cmd, "%s takes an environment and at least one service", cmd.CommandPath())
	}
	return nil
}

// override changes the overrides of an environment, and shows what came of it.
func (a *app) override(cmd *cobra.Command, name string, flags overrideFlags, change func(context.Context, runtime.Environments, runtime.EnvironmentKey) (string, error)) error {
	ctx := cmd.Context()
	op, err := a.openEnvironment(ctx, cmd, name, targetFlags{flags.env, flags.part})
	if err != nil {
		return err
	}
	look, env := op.look, op.env
	done, err := change(ctx, look.Environments, env.Key)
	if err != nil {
		return look.Explain(err)
	}
	if flags.show.output != "text" {
		if env, err = look.Store.Environment(ctx, env.Key); err != nil {
			return look.Explain(err)
		}
	}
	return a.write(flags.show.output, versioned(inspect.Of(env)), func() error {
		_, err := fmt.Fprintln(a.stdout, done)
		return err
	})
}
