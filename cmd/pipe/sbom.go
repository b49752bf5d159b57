package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

func (a *app) sbomCmd() *cobra.Command {
	var (
		target targetFlags
		show   showFlags
	)
	cmd := &cobra.Command{
		Use:   "sbom [ENV]",
		Short: "List the packages in the images of an environment",
		Long: `sbom reads the SBOMs that are attached to the deployed images of an environment, and joins them.
Without ENV, it reads those of the environment named default. It changes nothing.

As text, it lists the images with the number of their packages. -o json and -o yaml list the packages;
-o spdx writes one document of SPDX 2.3 for all images, which scanners of vulnerabilities can read.

It finds the SBOMs that pipe has attached, and those that the registry has as referrers of an image or
as attestations of BuildKit or cosign, in the formats SPDX 2 and CycloneDX (JSON). It does not verify
their signatures. An image without an SBOM is listed as such. If an SBOM cannot be read, the others are
written, and the exit status is 1.`,
		Example: `  pipe sbom staging
  pipe sbom staging -o spdx >staging.spdx.json
  pipe sbom shop/staging -o json | jq -r '.images[] | select(.packages[].name == "openssl") | .service'`,
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
			return a.sbom(cmd, name, target, show)
		},
	}
	cmd.Flags().StringVar(&target.part.registry, "registry", "",
		"the `registry` of the environment's images, e.g. --registry registry.example.com/shop (default: registry= of its Pipelinefile, else the embedded one)")
	target.env.add(cmd)
	target.part.addCluster(cmd)
	show.output = "text"
	formats := []string{"text", "json", "yaml", "spdx"}
	choice(cmd, &show.output, "output", "o", formats, "write the result as `format`, on standard output, e.g. -o spdx: "+list(formats))
	show.addProgress(cmd)
	return cmd
}

func (a *app) sbom(cmd *cobra.Command, name string, target targetFlags, show showFlags) error {
	ctx := cmd.Context()
	a.current().Doing("looking for environment " + name)
	op, err := a.openEnvironment(ctx, cmd, name, target)
	if err != nil {
		return err
	}
	inv, err := a.inventory(ctx, cmd, op.env, target.part)
	if err != nil {
		return err
	}
	a.hide()
	if show.output == "spdx" {
		document, err := inv.SPDX("pipe-"+version, time.Now())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.stdout, "%s\n", document); err != nil {
			return err
		}
	} else if err := a.write(show.output, inv, func() error { return ui.SBOM(a.stdout, inv) }); err != nil {
		return err
	}
	if n := inv.Failed(); n > 0 {
		return fmt.Errorf("the SBOMs of %d of the images of environment %s could not be read", n, op.env.Key.Name)
	}
	return nil
}

// inventory reads the SBOMs of the images of an environment.
func (a *app) inventory(ctx context.Context, cmd *cobra.Command, env *runtime.Environment, part partFlags) (*sbom.Inventory, error) {
	rt, err := a.openParts(ctx, cmd, part, evaluation{plan: env.Plan, workspace: a.workspace()}, true)
	if err != nil {
		return nil, err
	}
	defer a.closeParts(rt)
	return rt.SBOM(ctx, env, func(images int) { a.current().Doing(fmt.Sprintf("reading the SBOMs of %d images", images)) })
}
