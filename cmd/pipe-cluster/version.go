package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Tell the version, and those of what it is made of",
		Example: "  pipe-cluster version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, commit := "(devel)", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				if info.Main.Version != "" {
					version = info.Main.Version
				}
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						commit = s.Value
					}
				}
			}
			fmt.Fprintf(a.stdout, "pipe-cluster %s\n", version)
			if commit != "" {
				fmt.Fprintf(a.stdout, "commit       %s\n", commit)
			}
			for _, m := range []struct{ name, path string }{
				{"kubernetes", "k8s.io/kubernetes"},
				{"etcd", "go.etcd.io/etcd/server/v3"},
				{"kwok", "sigs.k8s.io/kwok"},
				{"coredns", "github.com/coredns/coredns"},
			} {
				fmt.Fprintf(a.stdout, "%-12s %s\n", m.name, control.Module(m.path))
			}
			_, err := fmt.Fprintf(a.stdout, "%-12s %s %s/%s\n", "go", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
