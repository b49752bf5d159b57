package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/deploy/buildkit"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

// farmFlags select the builders in a cluster.
type farmFlags struct {
	part      partFlags
	namespace string
}

func (f *farmFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.namespace, "namespace", buildkit.DefaultNamespace, "the Kubernetes `namespace` of the builders, e.g. --namespace ci-builders")
	f.part.addClusterOnly(cmd)
}

func (a *app) buildersCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "builders",
		Short: "Create, show and remove builders in a cluster",
		Long: `builders manages BuildKit in a cluster. Runs build there with --buildkit kube://NAMESPACE: each image
on the builder that has its cache, and on another one if that is busy or fails.`,
		Example: `  pipe builders up --replicas 3
  pipe run --env staging --buildkit kube://pipe-builders --registry registry.example.com/shop
  pipe builders status
  pipe builders down
  pipe builders prune --buildkit kube://pipe-builders --dry-run`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(a.buildersUpCmd(), a.buildersStatusCmd(), a.buildersDownCmd(), a.buildersPruneCmd())
	return cmd
}

func (a *app) buildersUpCmd() *cobra.Command {
	var flags farmFlags
	var show showFlags
	given := buildkit.Defaults()
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Create builders in a cluster, or change them",
		Long: `up runs BuildKit in a namespace of the cluster, as a StatefulSet whose pods have a volume each for
their cache, and waits until all are ready. They accept only clients with a certificate, which is in
the Secret buildkit-client of the namespace, and connections through the API server.

If the builders exist, up changes the given options and keeps the others. Without options, it brings
BuildKit to the version that belongs to this version of pipe, and renews certificates that expire
within 60 days. Builders are replaced one after the other; each has 10 minutes to end its builds.
The size and the class of the volumes, and --rootless, cannot be changed.

If a builder cannot become ready, up says why, with the last lines of its log. The builders stay; up
with other options changes them, and up again starts those that have crashed immediately.

The containers of the builders are privileged, unless they are --rootless: then BuildKit runs as an
ordinary user, which cannot limit the CPUs and the memory of a build.`,
		Example: `  pipe builders up
  pipe builders up --replicas 3 --storage 200Gi
  pipe builders up --cpu 8 --memory 16Gi --context build-cluster
  pipe builders up --image registry.example.com/mirror/buildkit:v0.33.1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer a.hide()
			change := func(o *buildkit.Options) {
				for name, take := range map[string]func(){
					"replicas": func() { o.Replicas = given.Replicas }, "storage": func() { o.Storage = given.Storage },
					"storage-class": func() { o.StorageClass = given.StorageClass }, "cpu": func() { o.CPU = given.CPU },
					"memory": func() { o.Memory = given.Memory }, "rootless": func() { o.Rootless = given.Rootless }, "image": func() { o.Image = given.Image },
				} {
					if cmd.Flags().Changed(name) {
						take()
					}
				}
			}
			if err := given.Check(); err != nil {
				return usagef(cmd, "%w", err)
			}
			view, err := a.progress(cmd, show)
			if err != nil {
				return err
			}
			return a.withFarm(cmd, flags, func(farm *buildkit.Farm) error {
				view.Doing("applying the builders")
				if err := farm.Up(cmd.Context(), change, view.Doing); err != nil {
					return err
				}
				a.hide()
				return a.writeFarm(cmd.Context(), farm, show)
			})
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&given.Replicas, "replicas", given.Replicas, "the `number` of builders, e.g. --replicas 3")
	fs.StringVar(&given.Storage, "storage", given.Storage, "the `size` of the cache of each builder, e.g. --storage 200Gi")
	fs.StringVar(&given.StorageClass, "storage-class", "", "the storage `class` of the caches, e.g. --storage-class fast (default: that of the cluster)")
	fs.StringVar(&given.CPU, "cpu", given.CPU, "the `number` of CPUs of each command of a build, which a builder also requests of its node, e.g. --cpu 8")
	fs.StringVar(&given.Memory, "memory", given.Memory, "the `amount` of memory of each command of a build, which a builder also requests of its node, e.g. --memory 16Gi")
	fs.BoolVar(&given.Rootless, "rootless", false, "run BuildKit as an ordinary user, e.g. pipe builders up --rootless")
	fs.StringVar(&given.Image, "image", "", "the `image` of BuildKit, e.g. --image registry.example.com/mirror/buildkit:v0.33.1 (default: moby/buildkit of the version that pipe is tested with)")
	flags.add(cmd)
	show.add(cmd)
	return cmd
}

func (a *app) buildersStatusCmd() *cobra.Command {
	var flags farmFlags
	var show showFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the builders in a cluster",
		Long: `status shows the builders of a namespace, whether they are ready, and until when their certificates
are valid.`,
		Example: `  pipe builders status
  pipe builders status -o json | jq -r '.builders[] | select(.ready) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withFarm(cmd, flags, func(farm *buildkit.Farm) error { return a.writeFarm(cmd.Context(), farm, show) })
		},
	}
	flags.add(cmd)
	show.addOutput(cmd)
	return cmd
}

func (a *app) buildersDownCmd() *cobra.Command {
	var flags farmFlags
	var yes, caches bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove the builders from a cluster",
		Long: `down deletes the builders of a namespace. They have 10 minutes to end their builds. The volumes with
their caches are kept for the next "pipe builders up", unless --delete-cache is given. With
--delete-cache, the namespace is deleted, too, if "pipe builders up" has created it and there is nothing
else in it. Objects of others are never deleted.

It lists what it will delete and asks for confirmation. Without a terminal it requires --yes.`,
		Example: `  pipe builders down
  pipe builders down --delete-cache --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes && !a.asks() {
				return cannotAsk(cmd, "")
			}
			return a.withFarm(cmd, flags, func(farm *buildkit.Farm) error { return a.removeFarm(cmd.Context(), farm, yes, caches) })
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask, e.g. pipe builders down --yes")
	cmd.Flags().BoolVar(&caches, "delete-cache", false, "delete the volumes with the caches, too, e.g. pipe builders down --delete-cache")
	return cmd
}

// withFarm opens the cluster and calls do with its builders.
func (a *app) withFarm(cmd *cobra.Command, f farmFlags, do func(*buildkit.Farm) error) error {
	cluster, err := a.openCluster(cmd.Context(), cmd, f.part)
	if err != nil {
		return err
	}
	farm, err := buildkit.Open(cluster.Config, f.namespace)
	if err != nil {
		return err
	}
	return cluster.Explain(do(farm))
}

// writeFarm writes the state of builders.
func (a *app) writeFarm(ctx context.Context, farm *buildkit.Farm, show showFlags) error {
	s, err := farm.Status(ctx)
	if err != nil {
		return err
	}
	shown := struct {
		Version int `json:"version"`
		*buildkit.Status
	}{inspect.Version, s}
	return a.write(show.output, shown, func() error { return ui.WriteBuilders(a.stdout, s, a.now()) })
}

func (a *app) removeFarm(ctx context.Context, farm *buildkit.Farm, yes, caches bool) error {
	going, err := farm.Going(ctx)
	if err != nil {
		return err
	}
	if !yes {
		what := "will be kept"
		if caches {
			what = "will be deleted"
		}
		fmt.Fprintf(a.stderr, "builders in namespace %s that will be deleted: %s\ncaches that %s: %s\n", going.Namespace, listed(going.Builders), what, listed(going.Caches))
		if err := a.typedAs("the namespace", going.Namespace, "nothing was deleted"); err != nil {
			return err
		}
	}
	kept, err := farm.Down(ctx, caches)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "deleted the builders in namespace %s\n", going.Namespace)
	switch {
	case !caches && len(going.Caches) > 0:
		fmt.Fprintf(a.stdout, "kept their caches: %s; pipe builders down --delete-cache deletes them\n", listed(going.Caches))
	case caches && kept != "":
		fmt.Fprintf(a.stdout, "kept the namespace: %s\n", kept)
	case caches:
		fmt.Fprintln(a.stdout, "deleted the caches and the namespace")
	}
	return nil
}

// listed joins names.
func listed(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
