package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/node"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// started is the output of `pipe-cluster up -o json`, which other programs read.
type started struct {
	Kubeconfig string    `json:"kubeconfig"`
	Node       home.Node `json:"node"`
	Version    string    `json:"version"` // of Kubernetes
	// Impossible is why a new cluster did not get a real node. It is empty if it got one, if
	// --node was set, or if the cluster existed already.
	Impossible string `json:"impossible,omitempty"`
}

func (a *app) upCommand() *cobra.Command {
	var kind, output string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster, or repair it, or find it running",
		Long: `Start the cluster in the background and return when it can be used. The path of its kubeconfig is printed.

If it is running already, that is all. If it was killed, it is repaired: its data is kept, and its workloads come back.
The real node installs what it needs (containerd, runc, CNI plugins, nftables) from Debian's packages, if it is missing.`,
		Example: `  pipe-cluster up
  pipe-cluster up --node simulated --dir /tmp/scratch
  pipe-cluster up -o json
  export KUBECONFIG=$(pipe-cluster up)`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			want := home.Node(kind)
			if want != "" && want != home.Real && want != home.Simulated {
				return fmt.Errorf("--node %s: real or simulated", kind)
			}
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %s: text or json", output)
			}
			d, err := a.home()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(c.Context(), timeout, fmt.Errorf("not usable after %s", timeout))
			defer cancel()
			s, err := a.up(ctx, d, want)
			if err != nil {
				return err
			}
			if output == "json" {
				return a.printJSON(s)
			}
			_, err = fmt.Fprintln(a.stdout, s.Kubeconfig)
			return err
		},
	}
	c.Flags().StringVar(&kind, "node", "", "`kind` of node: real or simulated (default: real if this machine and user can, else simulated)")
	c.Flags().StringVarP(&output, "output", "o", "text", "`form` of the result: text, which is the path of the kubeconfig, or json")
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this `time`")
	return c
}

// up starts the cluster and waits until it is usable. want is empty if any kind of node is accepted.
func (a *app) up(ctx context.Context, d home.Dir, want home.Node) (started, error) {
	began := time.Now()
	lock, err := home.WaitLock(ctx, d.Path("lock"), func() { a.say("waiting for another pipe-cluster that works on %s", d) })
	if err != nil {
		return started{}, err
	}
	defer lock.Unlock()
	config, known, err := a.heal(d)
	if err != nil {
		return started{}, err
	}
	if known && want != "" && want != config.Node {
		return started{}, fmt.Errorf("%s holds a cluster with a %s node, and a %s one was asked for: end it first with `pipe-cluster down --dir %s`",
			d, config.Node, want, d)
	}
	running := func() started {
		return started{Kubeconfig: d.Kubeconfig(), Node: config.Node, Version: control.Version()}
	}
	alive, err := d.SupervisorAlive()
	if err != nil {
		return started{}, err
	}
	if alive {
		// Another `up` has started it; this one only waits until it is usable. If the cluster is
		// being killed or stopped, it is started again.
		if err := a.await(ctx, d, nil); !errors.Is(err, errEnded) {
			return running(), err
		}
	}
	var impossible error
	if !known {
		if config, impossible, err = a.choose(want); err == nil {
			err = a.prepare(ctx, d, config)
		}
		if err != nil { // nothing was started, so leave nothing behind
			return started{}, errors.Join(err, forget(d, fleeting, data, others))
		}
	} else if err := a.prepare(ctx, d, config); err != nil {
		return started{}, err
	}
	if err := a.launch(ctx, d); err != nil {
		if known {
			return started{}, err
		}
		return started{}, errors.Join(err, forget(d, fleeting, data)) // the cluster never worked; only its logs are kept
	}
	a.say("up after %.1f s: Kubernetes %s, %s node", time.Since(began).Seconds(), control.Version(), config.Node)
	s := running()
	if impossible != nil {
		s.Impossible = impossible.Error()
	}
	return s, nil
}

// prepare prepares the directory for a supervisor, and the machine for a real node.
func (a *app) prepare(ctx context.Context, d home.Dir, config home.Config) error {
	if config.Node == home.Real {
		before, _ := node.Owner()
		if err := node.Claim(d); err != nil {
			return err
		}
		if err := node.Install(ctx, a.say); err != nil {
			if before == "" {
				err = errors.Join(err, node.Sweep(ctx, d)) // releases the claim
			}
			return err
		}
	}
	if err := d.Make(); err != nil {
		return err
	}
	if err := a.clean(ctx, d); err != nil {
		return err
	}
	return d.WriteConfig(config)
}

// choose chooses the configuration of a new cluster. If want is empty, impossible is why the node is
// not a real one.
func (a *app) choose(want home.Node) (c home.Config, impossible, err error) {
	reason := node.Check()
	switch {
	case want == home.Real && reason != nil:
		return home.Config{}, nil, fmt.Errorf("a real node is not possible here: %w; `--node simulated` is", reason)
	case want == home.Real || want == "" && reason == nil:
		c, err = node.Networks()
		return c, nil, err
	case want == "":
		a.say("a real node is not possible here: %v", reason)
		a.say("so the node is simulated: pods go Ready without being run, and nothing answers in them")
		return home.Simulation(), reason, nil
	}
	return home.Simulation(), nil, nil
}

// clean ends processes that a killed supervisor has left and that would disturb the next one.
// Containers are kept. A process that is being killed has lost its environment, and so its mark,
// before it frees its ports, so those in the state file are waited for as well.
func (a *app) clean(ctx context.Context, d home.Dir) error {
	left := proc.Marked(string(d))
	if s, err := d.ReadState(); err == nil {
		for _, c := range append(s.Children, home.Child{ID: s.Supervisor}) {
			if c.Start != 0 { // without it, the PID may be that of another process
				left = append(left, c.ID)
			}
		}
	}
	for _, id := range left {
		if node.Shim(id) {
			continue
		}
		if err := id.Stop(ctx, 0); err != nil {
			return err
		}
	}
	err := os.Remove(d.Path("state.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	a.say("repairing the cluster in %s", d)
	return err
}

// launch starts a supervisor and waits until the cluster is usable. If this fails, it stops the
// supervisor.
func (a *app) launch(ctx context.Context, d home.Dir) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(d.Log("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, "supervise", "--dir", string(d))
	cmd.Dir = string(d)
	cmd.Stderr = log
	cmd.Env = append(a.background(), proc.Mark+"="+string(d))
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = a.await(ctx, d, ended)
	if err != nil {
		id := proc.Of(cmd.Process.Pid)
		if id.Alive() {
			a.say("stopping what was started")
		}
		return errors.Join(err, id.Stop(context.WithoutCancel(ctx), stopTime))
	}
	return nil
}

// errEnded is the error if the supervisor of another process ended during the wait.
var errEnded = errors.New("the supervisor ended")

// usable asks the API server whether it is ready.
func usable(ctx context.Context, d home.Dir) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return control.Ask(ctx, d) == nil
}

// await waits until the supervisor reports that the cluster is usable, and reports what it is doing
// meanwhile. ended receives a value when the supervisor ends. If ended is nil, another process has
// started the supervisor, and await returns errEnded when it ends.
func (a *app) await(ctx context.Context, d home.Dir, ended <-chan error) error {
	p := a.progress()
	for reported := false; ; {
		s, damage, err := state(d)
		if err != nil {
			return err
		}
		if damage != nil && !reported {
			a.mended(damage)
			reported = true
		}
		if alive, err := d.SupervisorAlive(); ended == nil && (err != nil || !alive) {
			return errors.Join(err, errEnded)
		}
		switch s.Phase {
		case home.Running:
			// The supervisor may not have noticed yet that a child was killed, or may be about to end
			// itself.
			if usable(ctx, d) {
				return nil
			}
		case home.Failed:
			if ended != nil {
				return errors.New(s.Why)
			}
		case home.Starting:
			p.tell(s.Doing)
		case home.Stopping:
			p.tell("waiting until the cluster has stopped, to start it again")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last it was %s; see %s", context.Cause(ctx), s.Doing, d.Path("logs"))
		case err := <-ended:
			if s, _ := d.ReadState(); s.Phase == home.Failed {
				return errors.New(s.Why)
			}
			if err == nil {
				err = errors.New("it was stopped")
			}
			return fmt.Errorf("the supervisor ended: %w; see %s", err, d.Log("supervisor"))
		case <-time.After(25 * time.Millisecond):
		}
	}
}
