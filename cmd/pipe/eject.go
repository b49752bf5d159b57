package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/eject"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/render"
)

func (a *app) ejectCmd() *cobra.Command {
	var (
		eval evalFlags
		show showFlags
		opts eject.Options
	)
	cmd := &cobra.Command{
		Use:   "eject [SERVICE…] [PIPELINEFILE]",
		Short: "Write the deployed charts and values to a directory",
		Long: `eject writes a pipeline as Helm charts that do not need pipe: a chart for each service that
does not bring one or whose chart is in a git repository, a values file for each service, and a README.md with the required
Secrets and the Helm commands that deploy them, stage by stage. Skipped services are written
only if they are named. Values of secrets are never written. It contacts no cluster.

An argument with a slash, a dot or a capital letter is the Pipelinefile, any other is a
service: a Pipelinefile in the directory shop is ./shop.

The directory is written atomically. It is an error if it is not empty; with
--force it is replaced, including any changes in it, if pipe eject wrote it.`,
		Example: `  pipe eject
  pipe eject api db --dir deploy/charts
  pipe eject --env staging --set replicas=2 --force
  pipe eject ./examples/shop -o json | jq -r '.files[]'`,
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			names, _ := a.completeFrom(cmd, nil, eval, serviceNames)
			return names, cobra.ShellCompDirectiveDefault // also files
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var file []string
			if n := len(args) - 1; n >= 0 && args[n] != strings.ToLower(args[n]) || n >= 0 && strings.ContainsAny(args[n], `./\`) {
				args, file = args[:n], args[n:]
			}
			opts.Services = args
			return a.eject(cmd, file, eval, show, opts)
		},
	}
	eval.add(cmd)
	show.add(cmd)
	cmd.Flags().StringVar(&opts.Dir, "dir", "charts", "write this `directory`, e.g. --dir deploy/charts")
	cmd.Flags().BoolVar(&opts.Force, "force", false, "replace the directory, if pipe eject wrote it, e.g. pipe eject --force")
	return cmd
}

func (a *app) eject(cmd *cobra.Command, args []string, eval evalFlags, show showFlags, opts eject.Options) error {
	file, err := a.find(cmd, args)
	if err != nil {
		return err
	}
	defer a.hide()
	v := &invocation{app: a, cmd: cmd, file: file, eval: eval, show: show}
	e, err := v.begin(cmd.Context(), v.evaluate)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range e.plan.Services {
		names = append(names, s.Name)
	}
	for _, name := range opts.Services {
		if e.plan.Service(name) == nil {
			return usagef(cmd, "%s has no service %q%s", e.plan.Pipeline.Name, name, didYouMean(name, names))
		}
	}
	a.warn(e.plan.Warnings...)
	written := func(name string) bool {
		return slices.Contains(opts.Services, name) || len(opts.Services) == 0 && !e.plan.Service(name).Skip
	}
	for s, d := range e.plan.Absent(written) {
		if written(s.Name) {
			a.warn(d)
		}
	}
	folder := opts.Dir
	opts.Dir, opts.Workspace, opts.Cache = a.abs(folder), e.workspace, filepath.Join(a.home(), "cache", "charts")
	opts.Checkouts = local.Checkouts(a.home())
	opts.Renderer = render.New(render.Options{Executable: a.exe})
	defer func() { _ = opts.Renderer.Close() }()
	result, err := eject.Write(cmd.Context(), e.plan, opts)
	if err != nil {
		return err
	}
	a.hide()
	return a.write(show.output, result, func() error {
		var b strings.Builder
		fmt.Fprintf(&b, "wrote %s; %s explains how to deploy it without pipe\n", folder, filepath.Join(folder, "README.md"))
		for _, s := range result.Services {
			fmt.Fprintf(&b, "  %s: chart %s, values %s\n", s.Name, s.Chart, s.Values)
		}
		_, err := a.stdout.Write([]byte(b.String()))
		return err
	})
}
