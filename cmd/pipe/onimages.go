package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// onImages completes a verb that reads what the registry has of the images of an environment: it
// takes the name of the environment, or none for the one named default, and calls do with it.
func (a *app) onImages(cmd *cobra.Command, target *targetFlags, show *showFlags, do func(name string) error) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return takes("ENV")(cmd, args)
		}
		return nil
	}
	cmd.ValidArgsFunction = a.completeEnvironments(&target.part, 1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		defer a.hide()
		if _, err := a.progress(cmd, *show); err != nil {
			return err
		}
		name := "default"
		if len(args) > 0 {
			name = args[0]
		}
		return do(name)
	}
	cmd.Flags().StringVar(&target.part.registry, "registry", "",
		"the `registry` of the environment's images, e.g. --registry registry.example.com/shop (default: registry= of its Pipelinefile, else the embedded one)")
	target.env.add(cmd)
	target.part.addCluster(cmd)
}

// withImagesOf opens an environment and its registry, and calls do with them.
func (a *app) withImagesOf(cmd *cobra.Command, name string, target targetFlags, do func(*local.Runtime, *runtime.Environment) error) (*runtime.Environment, error) {
	ctx := cmd.Context()
	a.current().Doing("looking for environment " + name)
	op, err := a.openEnvironment(ctx, cmd, name, target)
	if err != nil {
		return nil, err
	}
	rt, err := a.openParts(ctx, cmd, target.part, evaluation{plan: op.env.Plan, workspace: a.workspace()}, true)
	if err != nil {
		return nil, err
	}
	defer a.closeParts(rt)
	return op.env, do(rt, op.env)
}
