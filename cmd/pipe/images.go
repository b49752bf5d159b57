package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
)

// imageFlags select a registry, and the clusters that use it.
type imageFlags struct {
	part      partFlags
	contexts  []string
	olderThan time.Duration
}

// defaultAge is how old images are that pipe images prune removes.
const defaultAge = 7 * 24 * time.Hour

// leastAge is the least value of --older-than: watch mode remembers for less time which images
// are in the registry.
const leastAge = time.Hour

func (f *imageFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.part.registry, "registry", "",
		"the `registry`, e.g. --registry registry.example.com/shop (default: registry= of the Pipelinefile in this directory or a parent, else the embedded one)")
	fs.StringArrayVar(&f.contexts, "also-context", nil,
		"ask the cluster of this `context` of the kubeconfig, too, which images it needs, e.g. --also-context prod; repeatable")
	fs.DurationVar(&f.olderThan, "older-than", defaultAge, "keep images that were made less than this `time` ago, e.g. --older-than 720h")
	f.part.addCluster(cmd)
}

func (a *app) imagesCmd() *cobra.Command {
	var flags imageFlags
	var show showFlags
	cmd := &cobra.Command{
		Use:   "images",
		Short: "List the images in the registry",
		Long: `images lists the images that are kept in the registry of the pipelines: the images of services
and mirrored ones, with their size, their age, and the environments that need them. An image is
needed if a running or stopped workload uses it, if an environment was deployed with it, or if a
recorded run of the environment used it (--keep-runs). The clusters that are asked are that of the
context and those of --also-context.

The size of an image includes the layers that it shares with others.`,
		Example: `  pipe images
  pipe images --registry registry.example.com/shop --also-context prod
  pipe images -o json | jq -r '.images[] | select(.kept == null) | .digest'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withImages(cmd, flags, func(im *local.Images) error {
				list, err := a.imageList(cmd.Context(), im)
				if err != nil {
					return err
				}
				all, err := im.List(cmd.Context(), flags.olderThan)
				if err != nil {
					return err
				}
				for _, l := range all {
					list.Images = append(list.Images, shownImage(l))
				}
				return a.write(show.output, list, func() error { return ui.WriteImages(a.stdout, list, a.now()) })
			})
		},
	}
	flags.add(cmd)
	show.addOutput(cmd)
	cmd.AddCommand(a.imagesPruneCmd())
	return cmd
}

func (a *app) imagesPruneCmd() *cobra.Command {
	var flags imageFlags
	var show showFlags
	var yes, dryRun bool
	var forget string
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove images that nothing needs",
		Long: `prune removes the images from the registry that no workload, no environment and no recorded run
needs, and that are older than --older-than, with their signatures. The embedded registry then frees
their disk space; others do so in their own time. Runs can continue meanwhile: prune waits for those
that may have found an image that it removes.

Only images that pipe itself has built or copied are removed, and only if they have no other tag.
Images written by versions of pipe that did not have this command are kept.

A registry knows the clusters that use it. If one of them is not asked, nothing is removed: name its
context with --also-context, or, if the cluster no longer exists, --forget its ID.

It lists what it will remove and asks for confirmation. Without a terminal it requires --yes.`,
		Example: `  pipe images prune --dry-run
  pipe images prune --older-than 720h --yes
  pipe images prune --registry registry.example.com/shop --also-context prod`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.olderThan < leastAge {
				return usagef(cmd, "--older-than %s: at least %s, because a run may still need what it has just built", flags.olderThan, leastAge)
			}
			if !yes && !dryRun && !a.asks() {
				return cannotAsk(cmd, ", or use --dry-run")
			}
			return a.withImages(cmd, flags, func(im *local.Images) error {
				return a.pruneImages(cmd.Context(), im, flags, show, pruneFlags{yes, dryRun, forget})
			})
		},
	}
	flags.add(cmd)
	show.addOutput(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask, e.g. pipe images prune --yes")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only list what would be removed, e.g. pipe images prune --dry-run")
	cmd.Flags().StringVar(&forget, "forget", "", "first remove the note of a cluster that no longer exists from the registry, by its `ID`, e.g. --forget host-0123456789abcdef")
	return cmd
}

// pruneFlags are what only pipe images prune has.
type pruneFlags struct {
	yes, dryRun bool
	forget      string
}

// withImages opens the registry and the clusters and calls do.
func (a *app) withImages(cmd *cobra.Command, f imageFlags, do func(*local.Images) error) error {
	var e evaluation
	if file, ok := a.nearest(); ok && f.part.registry == "" {
		p, err := a.outline(cmd.Context(), file, plan.EnvironmentRef{Name: "default", Kind: plan.KindEnvironment}, nil)
		if err != nil {
			return fmt.Errorf("%w\nname the registry with --registry", err)
		}
		e.plan = p
	}
	opts, err := a.partOptions(cmd, f.part, e, true)
	if err != nil {
		return err
	}
	im, err := local.OpenImages(cmd.Context(), opts, f.contexts)
	if err != nil {
		return err
	}
	defer func() { _ = im.Close() }() // it was only read, or the result is known
	return do(im)
}

// imageList returns the images of a registry, as they are shown.
func (a *app) imageList(ctx context.Context, im *local.Images) (ui.Images, error) {
	list := ui.Images{Version: inspect.Version, Registry: im.Prefix, Images: []ui.Image{}}
	unseen, err := im.Unseen(ctx)
	if len(unseen) > 0 {
		a.note((&local.UnseenError{Clusters: unseen}).Error())
	}
	for _, c := range unseen {
		list.Unseen = append(list.Unseen, c.ID)
	}
	return list, err
}

func shownImage(l local.Listed) ui.Image {
	return ui.Image{
		Repository: l.Repository, Digest: string(l.Digest), Tags: append([]string{}, l.Tags...), Size: l.Size,
		Made: l.Made, For: append([]string{}, l.For...), Kept: l.Why,
	}
}

func (a *app) pruneImages(ctx context.Context, im *local.Images, f imageFlags, show showFlags, flags pruneFlags) error {
	if flags.forget != "" {
		if err := im.Forget(ctx, flags.forget, flags.dryRun); err != nil {
			return err
		}
	}
	list, err := a.imageList(ctx, im)
	if err != nil {
		return err
	}
	list.Unseen = slices.DeleteFunc(list.Unseen, func(id string) bool { return id == flags.forget })
	if len(list.Unseen) > 0 {
		return errors.New("nothing was removed: name the contexts of these clusters with --also-context, or --forget one that no longer exists")
	}
	all, err := im.List(ctx, f.olderThan)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Why == "" {
			list.Images = append(list.Images, shownImage(l))
		}
	}
	result := struct {
		Version  int        `json:"version"`
		Registry string     `json:"registry"`
		DryRun   bool       `json:"dry_run"`
		Removed  []ui.Image `json:"removed"`
		Freed    int64      `json:"freed"` // bytes, of the disk of the embedded registry
	}{inspect.Version, im.Prefix, flags.dryRun, list.Images, 0}
	if flags.dryRun {
		return a.write(show.output, result, func() error { return a.listGoing(a.stdout, list, "would be removed") })
	}
	if !flags.yes && len(list.Images) > 0 {
		if err := a.listGoing(a.stderr, list, "will be removed"); err != nil {
			return err
		}
		if err := a.typedAs("yes", "yes", "nothing was removed"); err != nil {
			return err
		}
	}
	said := ""
	done, err := im.Prune(ctx, all, f.olderThan, func(runs []string) {
		if text := strings.Join(runs, "; "); text != said {
			said = text
			a.note("waiting for runs that may need images: " + text)
		}
	})
	result.Removed, result.Freed = []ui.Image{}, done.Freed
	for _, l := range done.Images {
		result.Removed = append(result.Removed, shownImage(l))
	}
	return errors.Join(err, a.write(show.output, result, func() error {
		for _, i := range result.Removed {
			fmt.Fprintf(a.stdout, "removed %s@%s\n", i.Repository, i.Digest)
		}
		if len(list.Images) > 0 {
			fmt.Fprintf(a.stdout, "%d of %d images removed\n", len(result.Removed), len(list.Images))
		} else if err := a.listGoing(a.stdout, list, ""); err != nil {
			return err
		}
		if done.Freed > 0 {
			fmt.Fprintf(a.stdout, "%s of disk space freed\n", ui.Bytes(done.Freed))
		}
		return nil
	}))
}

// listGoing lists the images that are to be removed.
func (a *app) listGoing(w io.Writer, list ui.Images, what string) error {
	if len(list.Images) == 0 {
		_, err := fmt.Fprintf(w, "no image of registry %s can be removed\n", list.Registry)
		return err
	}
	if err := ui.ImageTable(w, list, a.now()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d images %s from registry %s\n", len(list.Images), what, list.Registry)
	return err
}
