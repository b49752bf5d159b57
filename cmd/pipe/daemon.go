package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/internal/background"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
	"github.com/pipelinefile/pipe/runtime/render"
)

// daemonCmd contains the commands with which pipe starts its background
// processes, and one to stop them manually. It is hidden from the help: the
// processes end by themselves.
func (a *app) daemonCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "daemon",
		Short:  "The parts of pipe that run in the background",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:                "buildkit",
		Short:              "The embedded builder",
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return daemon.Main(cmd.Context(), args) },
	}, &cobra.Command{
		Use:   "render",
		Short: "A process that renders charts",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return render.Main(a.stdin, ui.Raw(a.stdout), a.exit) },
	}, a.registryCmd(), &cobra.Command{
		Use:   "stop",
		Short: "Stop the embedded builder and the embedded registry",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var errs []error
			for _, p := range a.daemons() {
				if err := p.Stop(cmd.Context()); err != nil {
					errs = append(errs, fmt.Errorf("stop %s: %w", p.Name, err))
				}
			}
			return errors.Join(errs...)
		},
	})
	return cmd
}

// isDaemon reports whether cmd runs in the background, with standard error as
// its log.
func isDaemon(cmd *cobra.Command) bool {
	return cmd.Name() == "daemon" || cmd.HasParent() && isDaemon(cmd.Parent())
}

func (a *app) registryCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "The embedded registry",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return serve.Serve(cmd.Context(), serve.Options{Dir: dir}) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the `directory` of its images, e.g. --dir /var/lib/pipe/registry")
	return cmd
}

// daemons lists the background processes of this home.
func (a *app) daemons() []background.Process {
	return []background.Process{
		daemon.Background{Home: a.home(), Executable: a.exe}.Process(),
		local.Registry(a.home(), a.exe).Process(),
	}
}
