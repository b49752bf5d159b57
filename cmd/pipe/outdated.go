package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) outdatedCmd() *cobra.Command {
	var (
		target targetFlags
		show   showFlags
		detail bool
	)
	cmd := &cobra.Command{
		Use:   "outdated [ENV]",
		Short: "List the base images and images whose tags have moved",
		Long: `outdated looks up the tags that the deployed images of an environment depend on, and lists those
that have moved: the tags of base images, with the digest that the image of the service was built
from, the tags of container(), and those that charts and manifests name, with the digest that is
deployed. Without ENV, it examines the environment named default. It changes nothing.

The base images of an image are recorded beside it in the registry when it is built. An image without
this record is listed, too: one that was built by an earlier version of pipe, by a builder that does
not report its base images, or by command_build(). If a tag cannot be looked up, the others are
listed, and the exit status is 1. Images that are deployed as charts and manifests name them (images =
"keep") are not looked up.`,
		Example: `  pipe outdated staging
  pipe outdated staging --detailed-exitcode || echo "status $?"
  pipe outdated shop/staging -o json | jq -r '.images[] | select(.moved) | .image'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return takes("ENV")(cmd, args)
			}
			return nil
		},
		ValidArgsFunction: a.completeEnvironments(&target.part, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer a.hide()
			if _, err := a.progress(cmd, show); err != nil {
				return err
			}
			name := "default"
			if len(args) > 0 {
				name = args[0]
			}
			return a.outdated(cmd, name, target, show, detail)
		},
	}
	cmd.Flags().StringVar(&target.part.registry, "registry", "",
		"the `registry` of the environment's images, e.g. --registry registry.example.com/shop (default: registry= of its Pipelinefile, else the embedded one)")
	cmd.Flags().BoolVar(&detail, "detailed-exitcode", false, "exit with status 2 if a tag has moved, e.g. pipe outdated staging --detailed-exitcode")
	target.env.add(cmd)
	target.part.addCluster(cmd)
	show.add(cmd)
	return cmd
}

func (a *app) outdated(cmd *cobra.Command, name string, target targetFlags, show showFlags, detail bool) error {
	ctx := cmd.Context()
	a.current().Doing("looking for environment " + name)
	op, err := a.openEnvironment(ctx, cmd, name, target)
	if err != nil {
		return err
	}
	found, err := a.upstreams(ctx, cmd, op.env, target.part)
	if err != nil {
		return err
	}
	a.hide()
	if err := a.write(show.output, found, func() error { return ui.Outdated(a.stdout, found) }); err != nil {
		return err
	}
	if n := found.Failed(); n > 0 {
		return fmt.Errorf("%d of the images of environment %s could not be looked up", n, op.env.Key.Name)
	}
	if detail && found.Moved() > 0 {
		return errChanges
	}
	return nil
}

// upstreams returns what the images of an environment depend on.
func (a *app) upstreams(ctx context.Context, cmd *cobra.Command, env *runtime.Environment, part partFlags) (*inspect.Upstreams, error) {
	rt, err := a.openParts(ctx, cmd, part, evaluation{plan: env.Plan, workspace: a.workspace()}, true)
	if err != nil {
		return nil, err
	}
	defer a.closeParts(rt)
	a.current().Doing("reading what the images are built from")
	return rt.Upstreams(ctx, env, func(tags int) { a.current().Doing(fmt.Sprintf("looking up %d tags", tags)) })
}
