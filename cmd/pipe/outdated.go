package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
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
	}
	cmd.Flags().BoolVar(&detail, "detailed-exitcode", false, "exit with status 2 if a tag has moved, e.g. pipe outdated staging --detailed-exitcode")
	a.onImages(cmd, &target, &show, func(name string) error { return a.outdated(cmd, name, target, show, detail) })
	show.add(cmd)
	return cmd
}

func (a *app) outdated(cmd *cobra.Command, name string, target targetFlags, show showFlags, detail bool) error {
	var found *inspect.Upstreams
	env, err := a.withImagesOf(cmd, name, target, func(rt *local.Runtime, env *runtime.Environment) (err error) {
		a.current().Doing("reading what the images are built from")
		found, err = rt.Upstreams(cmd.Context(), env, func(tags int) { a.current().Doing(fmt.Sprintf("looking up %d tags", tags)) })
		return err
	})
	if err != nil {
		return err
	}
	a.hide()
	if err := a.write(show.output, found, func() error { return ui.Outdated(a.stdout, found) }); err != nil {
		return err
	}
	if n := found.Failed(); n > 0 {
		return fmt.Errorf("%d of the images of environment %s could not be looked up", n, env.Key.Name)
	}
	if detail && found.Moved() > 0 {
		return errChanges
	}
	return nil
}
