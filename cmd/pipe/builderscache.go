package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/deploy/buildkit"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
)

func (a *app) buildersPruneCmd() *cobra.Command {
	var part partFlags
	var show showFlags
	var yes, dryRun bool
	var olderThan time.Duration
	var keep string
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what builders keep in their caches",
		Long: `prune removes from the caches of builders what no build has used for the time of --older-than: results
of steps, contexts and cache mounts. With --keep, each builder keeps that amount of what was used last.
Images in the registry are not touched. A build that needs what was removed takes longer. Builds can run
meanwhile; what they use is kept.

The builders are those of --buildkit, $BUILDKIT_HOST or, without them, the embedded one. It lists how much
it can remove at most and asks for confirmation. Without a terminal it requires --yes.`,
		Example: `  pipe builders prune --dry-run
  pipe builders prune --older-than 720h --yes
  pipe builders prune --buildkit kube://pipe-builders --keep 50Gi`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit := build.CacheLimit{Used: olderThan}
			if keep != "" {
				size, err := buildkit.Size(keep)
				if err != nil {
					return usagef(cmd, "--keep %q: %w", keep, err)
				}
				limit.Bytes = size
			}
			if !yes && !dryRun && !a.asks() {
				return cannotAsk(cmd, ", or use --dry-run")
			}
			opts, err := a.partOptions(cmd, part, evaluation{workspace: a.dir}, true)
			if err != nil {
				return err
			}
			var wrong *local.UnavailableError
			if errors.As(opts.Check(), &wrong) {
				return usagef(cmd, "%w; %s", wrong, ui.Advice(wrong.Advice()))
			}
			return local.WithBuilders(opts, func(b *build.Builder) error {
				return a.pruneCaches(cmd.Context(), b, limit, show, yes, dryRun)
			})
		},
	}
	fs := cmd.Flags()
	part.addBuilders(cmd, "the `address` of a builder, e.g. --buildkit tcp://builder:1234; repeatable")
	fs.DurationVar(&olderThan, "older-than", defaultAge, "keep what was used less than this `time` ago, e.g. --older-than 720h")
	fs.StringVar(&keep, "keep", "", "keep this `amount` of each cache, of what was used last, e.g. --keep 50Gi (default: 0)")
	fs.BoolVar(&yes, "yes", false, "do not ask, e.g. pipe builders prune --yes")
	fs.BoolVar(&dryRun, "dry-run", false, "only list how much can be removed, e.g. pipe builders prune --dry-run")
	part.addClusterOnly(cmd)
	show.addOutput(cmd)
	return cmd
}

func (a *app) pruneCaches(ctx context.Context, b *build.Builder, limit build.CacheLimit, show showFlags, yes, dryRun bool) error {
	result := struct {
		Version  int           `json:"version"`
		DryRun   bool          `json:"dry_run"`
		Builders []build.Cache `json:"builders"`
	}{inspect.Version, dryRun, []build.Cache{}}
	if dryRun || !yes {
		all, err := b.Caches(ctx, limit)
		if err != nil {
			return err
		}
		if result.Builders = all; dryRun {
			return a.write(show.output, result, func() error { return listCaches(a.stdout, all, "at most %s of %s can be removed") })
		}
		if err := listCaches(a.stderr, all, "at most %s of %s will be removed"); err != nil {
			return err
		}
		if err := a.typedAs("yes", "yes", "nothing was removed"); err != nil {
			return err
		}
	}
	all, err := b.PruneCaches(ctx, limit)
	result.Builders = all
	return errors.Join(err, a.write(show.output, result, func() error { return listCaches(a.stdout, all, "%s of %s removed") }))
}

// listCaches writes a line for each builder.
func listCaches(w io.Writer, all []build.Cache, what string) error {
	for _, c := range all {
		name := "the embedded builder"
		if c.Builder != "" {
			name = c.Builder
		}
		if _, err := fmt.Fprintf(w, "%s: "+what+"\n", name, ui.Bytes(c.Removed), ui.Bytes(c.Size)); err != nil {
			return err
		}
	}
	return nil
}
