package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
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
their signatures. An image without an SBOM is listed as such, and if pipe has built it, what to do about
that. If an SBOM cannot be read, the others are written, and the exit status is 1.`,
		Example: `  pipe sbom staging
  pipe sbom staging -o spdx >staging.spdx.json
  pipe sbom shop/staging -o json | jq -r '.images[] | select(.packages[].name == "openssl") | .service'`,
	}
	a.onImages(cmd, &target, &show, func(name string) error { return a.sbom(cmd, name, target, show) })
	show.output = "text"
	formats := []string{"text", "json", "yaml", "spdx"}
	choice(cmd, &show.output, "output", "o", formats, "write the result as `format`, on standard output, e.g. -o spdx: "+list(formats))
	show.addProgress(cmd)
	return cmd
}

func (a *app) sbom(cmd *cobra.Command, name string, target targetFlags, show showFlags) error {
	var inv *sbom.Inventory
	env, err := a.withImagesOf(cmd, name, target, func(rt *local.Runtime, env *runtime.Environment) (err error) {
		inv, err = rt.SBOM(cmd.Context(), env, func(images int) { a.current().Doing(fmt.Sprintf("reading the SBOMs of %d images", images)) })
		return err
	})
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
		return fmt.Errorf("the SBOMs of %d of the images of environment %s could not be read", n, env.Key.Name)
	}
	return nil
}
