package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/scan"
)

func (a *app) scanCmd() *cobra.Command {
	var (
		target targetFlags
		show   showFlags
	)
	cmd := &cobra.Command{
		Use:   "scan [ENV]",
		Short: "List the vulnerabilities in the images of an environment",
		Long: `scan lists what the scanner of the pipeline has found in the deployed images of an environment, as the
reports that are kept in the registry say. Without ENV, it reads those of the environment named
default. It scans nothing and changes nothing: pipe run scans images before it deploys them, and again
when their reports are older than every= of scan().

As text, it lists the images with the number of their findings, and each finding with the services
that have it: "above max" are those that stop a deploy. The judgement is that of the plan that was
deployed last, at this time. An image without a report of this scanner is listed as such. If a report
cannot be read, the others are written, and the exit status is 1.`,
		Example: `  pipe scan production
  pipe scan production | grep CVE-2026-12345
  pipe scan shop/production -o json | jq -r '.images[] | select(.findings[].id == "CVE-2026-12345") | .service'`,
	}
	a.onImages(cmd, &target, &show, func(name string) error { return a.scan(cmd, name, target, show) })
	show.add(cmd)
	return cmd
}

func (a *app) scan(cmd *cobra.Command, name string, target targetFlags, show showFlags) error {
	var inv *scan.Inventory
	env, err := a.withImagesOf(cmd, name, target, func(rt *local.Runtime, env *runtime.Environment) (err error) {
		inv, err = rt.Scanned(cmd.Context(), env, func(images int) { a.current().Doing(fmt.Sprintf("reading the reports of %d images", images)) })
		if errors.Is(err, local.ErrNoScan) {
			return runtime.Advise(fmt.Errorf("environment %s: %w", env.Key.Name, err), runtime.Advice{Do: "write scan = scan(…) of pipeline(), and deploy with pipe run"})
		}
		return err
	})
	if err != nil {
		return err
	}
	a.hide()
	if err := a.write(show.output, inv, func() error { return ui.Scan(a.stdout, inv) }); err != nil {
		return err
	}
	if n := inv.Failed(); n > 0 {
		return fmt.Errorf("the reports of %d of the images of environment %s could not be read", n, env.Key.Name)
	}
	return nil
}
