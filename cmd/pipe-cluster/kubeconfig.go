package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) kubeconfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the kubeconfig of the cluster",
		Long: `Print the kubeconfig of the cluster. Its context, cluster and user are called pipe-local. The file itself is "kubeconfig" in
the cluster's folder; "pipe-cluster up" prints its path.`,
		Example: "  pipe-cluster kubeconfig > ~/.kube/config",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := a.home()
			if err != nil {
				return err
			}
			b, err := os.ReadFile(d.Kubeconfig())
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("no cluster in %s: start one with `pipe-cluster up`", d)
			}
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(b)
			return err
		},
	}
}
