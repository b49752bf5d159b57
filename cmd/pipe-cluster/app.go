package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/supervise"
)

// app has everything outside the process that the command uses.
type app struct {
	args           []string
	stdout, stderr io.Writer
	env            func(string) string
	environ        []string

	dir string // value of --dir
}

// run runs the command and returns its exit status: 0, or 1 if it failed.
func (a *app) run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := a.command()
	root.SetArgs(a.args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.Is(err, errStatus) {
			fmt.Fprintf(a.stderr, "pipe-cluster: %v\n", err)
		}
		return 1
	}
	return 0
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "pipe-cluster",
		Short: "A Kubernetes on this machine",
		Long: `pipe-cluster runs a Kubernetes on this machine, in background processes of this program.

With --node real (Linux, as root) pods run: containerd and runc run them, the kubelet and kube-proxy are in this program.
With --node simulated nothing runs: pods only become ready, immediately and whatever their image. That needs no rights and little
memory, and is good for trying out releases, not for trying out software.

Everything that a cluster keeps is in one folder: --dir, else $PIPE_HOME/cluster, else pipe/cluster in $XDG_STATE_HOME or
~/.local/state. There is one real cluster on a machine, and any number of simulated ones, each with its own folder.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },

		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return senseless(c) },
	}
	root.PersistentFlags().StringVar(&a.dir, "dir", "", "`folder` of the cluster (default: as above)")
	root.AddCommand(a.upCommand(), a.downCommand(), a.statusCommand(), a.kubeconfigCommand(), a.versionCommand(),
		a.superviseCommand(), a.roleCommand())
	return root
}

// senseless returns an error for a flag whose value cannot be intended: --dir "$DIR" with an unset
// variable does not mean the default cluster.
func senseless(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		d, e := time.ParseDuration(value)
		switch isTime := f.Value.Type() == "duration" && e == nil; {
		case strings.TrimSpace(value) == "":
			err = fmt.Errorf("--%s %q: it is empty; give it a value, or leave it out", f.Name, value)
		case isTime && d <= 0:
			err = fmt.Errorf("--%s %s: it must be more than 0", f.Name, value)
		}
	})
	return err
}

// home returns the directory of the requested cluster.
func (a *app) home() (home.Dir, error) {
	if a.dir != "" {
		return home.New(a.dir)
	}
	return home.Default(a.env)
}

// background returns the environment of the background processes. They live long, so they do not
// get other variables of the user, such as tokens. A proxy is only for the internet: only containerd
// uses it, to pull images, so it is passed in a separate variable.
func (a *app) background() []string {
	var env []string
	for _, v := range a.environ {
		name, _, _ := strings.Cut(v, "=")
		switch strings.ToUpper(name) {
		case "PATH", "HOME", "TMPDIR", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "GOTRACEBACK":
			env = append(env, v)
		case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY":
			env = append(env, supervise.ProxyPrefix+v)
		default:
			if strings.HasPrefix(name, "PIPE_CLUSTER_") {
				env = append(env, v)
			}
		}
	}
	return env
}

// say prints a progress message to the standard error. Results are printed to the standard output.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, "pipe-cluster: "+format+"\n", args...)
}
