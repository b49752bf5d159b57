package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/node"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// stopTime is how long a supervisor may take to stop everything. After that it is killed, and its
// remains are removed.
const stopTime = 90 * time.Second

func (a *app) downCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster and remove it",
		Long: `Stop the cluster and remove it with its data. No process, mount, interface, cgroup or firewall rule of it is left, and
kernel settings that it changed are as they were. It also works when the cluster was killed, and when there is none.`,
		Example: `  pipe-cluster down
  pipe-cluster down --keep-data`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.home()
			if err != nil {
				return err
			}
			return a.down(c.Context(), d, keep)
		},
	}
	c.Flags().BoolVar(&keep, "keep-data", false, "keep objects, volumes and images: the next `up` goes on with them")
	return c
}

func (a *app) down(ctx context.Context, d home.Dir, keep bool) error {
	began := time.Now()
	lock, err := home.WaitLock(ctx, d.Path("lock"), func() { a.say("waiting for another pipe-cluster that works on %s", d) })
	if err != nil {
		return err
	}
	defer lock.Unlock()
	_, known, err := a.heal(d)
	if err != nil && keep {
		return err
	}
	if err != nil {
		a.say("%v", err) // a damaged cluster can still be removed
	}
	if err := a.stop(ctx, d); err != nil {
		return err
	}
	for _, id := range proc.Marked(string(d)) {
		if err := id.Stop(ctx, 0); err != nil {
			return err
		}
	}
	if err := node.Sweep(ctx, d); err != nil {
		return err
	}
	remove := [][]string{fleeting}
	if !keep {
		remove = append(remove, data, others)
	}
	if err := forget(d, remove...); err != nil {
		return err
	}
	switch {
	case !known:
		a.say("no cluster in %s", d)
	case keep:
		a.say("down after %.1f s; its data is kept in %s", time.Since(began).Seconds(), d)
	default:
		a.say("down after %.1f s", time.Since(began).Seconds())
	}
	return nil
}

// stop makes the supervisor stop everything, if one is running.
func (a *app) stop(ctx context.Context, d home.Dir) error {
	alive, err := d.SupervisorAlive()
	if err != nil || !alive {
		return err
	}
	s, damage, err := state(d)
	if err != nil {
		return err
	}
	a.mended(damage)
	if s.Supervisor.PID == 0 {
		return fmt.Errorf("a supervisor holds %s, but %s does not say which: end the process `pipe-cluster supervise --dir %s`, then repeat this",
			d, d.Path("state.json"), d)
	}
	a.say("stopping")
	p := a.progress()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Supervisor.Stop(ctx, stopTime) }()
	for {
		select {
		case err := <-stopped:
			return err
		case <-time.After(50 * time.Millisecond):
			if s, err := d.ReadState(); err == nil && s.Phase == home.Stopping {
				p.tell(s.Doing)
			}
		}
	}
}

// All files that a cluster has in its directory. Nothing else is removed, as the directory may also
// have other files, for example if it is a home directory.
var (
	fleeting = []string{"state.json", "supervisor.lock", "kubeconfig", "run"} // useless while the cluster is not running
	data     = []string{"cluster.json", "pki", "etcd", "volumes", "containerd", "kubelet", "node"}
	others   = []string{"logs", "lock"}
)

// forget removes files of the cluster, and the directory if it is empty then.
func forget(d home.Dir, names ...[]string) error {
	// Removing files below a mount point would remove files of others.
	mounts, err := node.Mounts(d)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("nothing was removed, because something is still mounted on %s: unmount it and run `pipe-cluster down` again",
			strings.Join(mounts, " and "))
	}
	var errs []error
	for _, n := range slices.Concat(names...) {
		errs = append(errs, os.RemoveAll(d.Path(n)))
	}
	_ = os.Remove(string(d)) // fails, as intended, if the directory is not empty
	return errors.Join(errs...)
}
