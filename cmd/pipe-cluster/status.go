package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/control"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// errStatus causes exit status 1 without another message.
var errStatus = errors.New("not running")

// status is the output of `pipe-cluster status -o json`, which other programs read.
type status struct {
	State      string          `json:"state"` // running, stopped or broken
	Node       home.Node       `json:"node,omitempty"`
	Kubeconfig string          `json:"kubeconfig,omitempty"`
	Server     string          `json:"server,omitempty"`
	Version    string          `json:"version,omitempty"`
	Processes  []statusProcess `json:"processes"`
	Why        string          `json:"why,omitempty"` // why it is not running
}

type statusProcess struct {
	Name  string          `json:"name"`
	PID   int             `json:"pid"`
	State home.ChildState `json:"state"`
}

func (a *app) statusCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell whether the cluster runs, and its processes",
		Long:  "Tell whether the cluster runs, and its processes. The exit status is 0 if it runs and can be used, else 1.",
		Example: `  pipe-cluster status
  pipe-cluster status -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %s: text or json", output)
			}
			d, err := a.home()
			if err != nil {
				return err
			}
			s, err := a.statusOf(c.Context(), d)
			if err != nil {
				return err
			}
			if output == "json" {
				err = a.printJSON(s)
			} else {
				a.printStatus(d, s)
			}
			if err == nil && s.State != "running" {
				err = errStatus
			}
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "`form`: text or json")
	return c
}

// printJSON prints a result as JSON.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// statusOf determines the status of the cluster in a directory.
func (a *app) statusOf(ctx context.Context, d home.Dir) (status, error) {
	s := status{State: "stopped", Processes: []statusProcess{}}
	config, ok, err := a.config(d)
	if errors.Is(err, home.ErrDamaged) {
		s.State, s.Why = "broken", err.Error()
		return s, nil
	}
	if err != nil || !ok {
		if len(proc.Marked(string(d))) > 0 {
			s.State, s.Why = "broken", "processes of a cluster whose folder was removed are still there: `pipe-cluster down` ends them"
		}
		return s, err
	}
	s.Node, s.Version = config.Node, control.Version()
	last, damage, err := state(d)
	if err != nil {
		return s, err
	}
	a.mended(damage)
	alive, err := d.SupervisorAlive()
	if err != nil {
		return s, err
	}
	if !alive {
		switch {
		case last.Phase == home.Failed:
			s.State, s.Why = "broken", last.Why
		case last.Phase != "" || len(proc.Marked(string(d))) > 0:
			s.State, s.Why = "broken", "its supervisor was killed: `pipe-cluster up` repairs it"
		}
		return s, nil
	}
	s.Kubeconfig = d.Kubeconfig()
	if config.Port != 0 {
		s.Server = control.Server(config)
	}
	s.Processes = append(s.Processes, statusProcess{"supervisor", last.Supervisor.PID, home.ChildRunning})
	for _, c := range last.Children {
		s.Processes = append(s.Processes, statusProcess{c.Name, c.PID, c.State})
	}
	s.State = "broken"
	switch {
	case last.Phase == home.Running:
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if err := control.Ask(ctx, d); err != nil {
			s.Why = fmt.Sprintf("the API server at %s does not answer: %v", s.Server, err)
			return s, nil
		}
		s.State = "running"
	case last.Phase == home.Stopping:
		s.Why = "it is being stopped"
	case last.Why != "":
		s.Why = last.Why + "; now " + last.Doing
	default:
		s.Why = "it is being started: " + last.Doing
	}
	return s, nil
}

func (a *app) printStatus(d home.Dir, s status) {
	fmt.Fprintf(a.stdout, "%s", s.State)
	if s.Node != "" {
		fmt.Fprintf(a.stdout, ", %s node, Kubernetes %s", s.Node, s.Version)
	}
	fmt.Fprintln(a.stdout)
	if s.Why != "" {
		fmt.Fprintf(a.stdout, "why         %s\n", s.Why)
	}
	fmt.Fprintf(a.stdout, "folder      %s\n", d)
	if s.Server != "" {
		fmt.Fprintf(a.stdout, "server      %s\nkubeconfig  %s\n", s.Server, s.Kubeconfig)
	}
	for _, p := range s.Processes {
		fmt.Fprintf(a.stdout, "process     %s, %s", p.Name, p.State)
		if p.PID != 0 {
			fmt.Fprintf(a.stdout, ", %d", p.PID)
		}
		fmt.Fprintln(a.stdout)
	}
}
