package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/reach"
)

func (a *app) forwardCmd() *cobra.Command {
	var (
		env     envFlags
		part    partFlags
		address string
		out     string
	)
	cmd := &cobra.Command{
		Use:   "forward ENV [SERVICE[:PORT[=LOCAL]]]...",
		Short: "Forward local ports to the services of an environment",
		Long: `forward opens a local port for each port of the named services, or of all
deployed ones, and prints its address. It runs until it is interrupted.

A local port stays open and never changes while pods are replaced: each connection goes to
the newest ready pod. While no pod is ready, as during a deploy, new connections are
held for 10 seconds. Forwarding resumes after a network failure.

PORT is a number or the name of a port. LOCAL is a number: if that port is in use, the
error names the program that uses it. LOCAL defaults to local= of port() in the
Pipelinefile. Without either, the local port has the number of PORT, or a free one if that
port is in use, which is reported. Only TCP ports can be forwarded.

-o json writes a line for each forward whenever its state changes, as
{"service", "port", "url", "state", "pod", "reason"}: the state is listening, connected,
waiting (for a pod that is ready) or failed.`,
		Example: `  pipe forward staging
  pipe forward staging web db:5432=15432
  pipe forward staging web:http=3000
  pipe forward staging -o json | jq -r 'select(.service == "web").url'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "%s takes ENV, and the services to forward to", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := forwardAddress(cmd, address)
			if err != nil {
				return err
			}
			op, err := a.openEnvironment(cmd.Context(), cmd, args[0], targetFlags{env, part})
			if err != nil {
				return err
			}
			cluster, e := op.cluster, op.env
			if e.Plan == nil {
				return fmt.Errorf("nothing is deployed to environment %s yet", e.Key.Name)
			}
			targets, err := a.forwardTargets(cmd, cluster, e, args[1:])
			if err != nil {
				return err
			}
			return a.forward(cmd, cluster, e, targets, opts, out)
		},
	}
	env.add(cmd)
	cmd.Flags().StringVar(&address, "address", "localhost", "listen at this `IP` address, e.g. --address 0.0.0.0 for all interfaces; localhost is both 127.0.0.1 and ::1")
	part.addCluster(cmd)
	addLines(cmd, &out)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.completeEnvironments(&part, 1)(cmd, args, word)
		}
		return a.targetsSoon(cmd, &part, &env, args), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// targetsSoon returns what can be forwarded in the environment at the start of
// args: services, and their ports.
func (a *app) targetsSoon(cmd *cobra.Command, part *partFlags, f *envFlags, args []string) []string {
	var names []string
	for _, p := range a.plansSoon(cmd, part, f, args) {
		for i := range p.Services {
			s := &p.Services[i]
			ports := reach.Targets(p, func(of *plan.Service) bool { return of == s })
			if len(ports) == 0 {
				continue
			}
			names = append(names, completedService(s))
			for _, t := range ports {
				text := fmt.Sprintf("port %d", t.Port)
				if t.Local != 0 {
					text += fmt.Sprintf(", at local port %d", t.Local)
				}
				names = append(names, cobra.CompletionWithDesc(fmt.Sprintf("%s:%d", s.Name, t.Port), text))
			}
		}
	}
	return names
}

// forwardAddress returns the address to listen on.
func forwardAddress(cmd *cobra.Command, address string) (opts reach.ForwardOptions, err error) {
	if address == "localhost" {
		return opts, nil
	}
	if opts.Address, err = netip.ParseAddr(address); err != nil {
		return opts, usagef(cmd, "--address %s: %q is not a valid IP address", address, address)
	}
	return opts, nil
}

// forwardTargets returns the named targets, or else all deployed ports.
func (a *app) forwardTargets(cmd *cobra.Command, cluster *local.Cluster, e *runtime.Environment, names []string) ([]reach.Target, error) {
	targets, err := reach.ParseTargets(e.Plan, names)
	var wrong *reach.TargetError
	switch {
	case errors.As(err, &wrong) && len(wrong.Candidates) > 0:
		return nil, usagef(cmd, "%w%s", wrong, didYouMean(wrong.Name, wrong.Candidates))
	case err != nil:
		return nil, usagef(cmd, "%w", err)
	case len(names) > 0:
		return targets, nil
	}
	live, err := cluster.Inspector.Live(cmd.Context(), e)
	if err != nil {
		return nil, cluster.Explain(err)
	}
	targets = reach.Targets(e.Plan, func(s *plan.Service) bool {
		is := live[runtime.Place{Namespace: e.Key.NamespaceOf(s), Name: s.Name}]
		deployed := is != nil && is.Deployed != nil
		if deployed {
			for _, p := range s.Workload.Ports {
				if p.Protocol != "TCP" {
					a.note(fmt.Sprintf("%s: port %d is %s and is not forwarded", s.Name, p.Number, p.Protocol))
				}
			}
		}
		return deployed
	})
	if len(targets) == 0 {
		return nil, fmt.Errorf("no service that is deployed to environment %s declares a TCP port: name one, as in pipe forward %s web:8080", e.Key.Name, e.Key.Name)
	}
	return targets, nil
}

// forward forwards ports until it is interrupted.
func (a *app) forward(cmd *cobra.Command, cluster *local.Cluster, e *runtime.Environment, targets []reach.Target, opts reach.ForwardOptions, out string) error {
	ctx := cmd.Context()
	show := &forwardShow{app: a, plan: e.Plan, json: out == "json", was: make(map[reach.Target]reach.ForwardState)}
	opts.Report = show.changed
	in := make(map[string][]reach.Target) // by namespace
	for _, t := range targets {
		namespace := e.Key.NamespaceOf(serviceOf(e, t.Service))
		in[namespace] = append(in[namespace], t)
	}
	var all []reach.Forward
	for _, namespace := range slices.Sorted(maps.Keys(in)) {
		ns, err := reach.Open(cluster.Config, namespace)
		if err != nil {
			return err
		}
		defer ns.Close()
		f := ns.Forwarder(opts)
		defer f.Close()
		if err := f.Known(ctx); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the normal end
			}
			return cluster.Explain(err)
		}
		forwards, err := f.Set(in[namespace])
		if err != nil {
			return err
		}
		all = append(all, forwards...)
	}
	show.opened(all)
	<-ctx.Done()
	return nil
}

// A forwardShow shows forwards, which change on their own goroutines.
type forwardShow struct {
	*app
	plan *plan.Plan
	json bool

	mu  sync.Mutex
	was map[reach.Target]reach.ForwardState // guarded by mu
}

// A forwardLine is a line of -o json.
type forwardLine struct {
	Service string `json:"service"`
	runtime.Forwarding
	Pod string `json:"pod,omitempty"`
}

// opened prints the addresses of the ports.
func (s *forwardShow) opened(forwards []reach.Forward) {
	if s.json {
		return
	}
	width := 0
	for _, f := range forwards {
		width = max(width, len(forwardName(f)))
	}
	for _, f := range forwards {
		if f.Taken != nil {
			s.note(fmt.Sprintf("%s: %v: port %d is used instead", forwardName(f), f.Taken, f.Address.Port()))
		}
		fmt.Fprintf(s.stdout, "%-*s  %s\n", width, forwardName(f), f.URL(s.plan))
	}
}

// changed reports the new state of a forward.
func (s *forwardShow) changed(f reach.Forward) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		_ = ui.Encoder(s.stdout).Encode(forwardLine{f.Service, f.Event(s.plan), f.Pod}) // if the reader is gone, output is pointless
		return
	}
	good := []reach.ForwardState{"", reach.Listening, reach.Connected}
	was := s.was[f.Target]
	s.was[f.Target] = f.State
	switch {
	case f.State == reach.Failed:
		s.note(fmt.Sprintf("%s: %s", forwardName(f), ui.Clean(f.Err.Error())))
	case f.State == reach.Waiting:
		s.note(fmt.Sprintf("%s: connections are held: %s", forwardName(f), ui.Clean(f.Err.Error())))
	case !slices.Contains(good, was):
		s.note(fmt.Sprintf("%s: goes to pod %s", forwardName(f), f.Pod))
	}
}

// forwardName names a forward: "web:8080".
func forwardName(f reach.Forward) string { return fmt.Sprintf("%s:%d", f.Service, f.Port) }
