package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/why"
	"github.com/pipelinefile/pipe/plan"
)

func (a *app) explainCmd() *cobra.Command {
	var (
		eval evalFlags
		show showFlags
	)
	cmd := &cobra.Command{
		Use:   "explain SERVICE [PIPELINEFILE]",
		Short: "Explain the configuration of a service",
		Long: `explain shows for one service where it is declared, why it is in its stage, why it is skipped,
how its image and its chart are made, which secrets it uses, and which parameters affect it,
each with its position in the Pipelinefile. It contacts no cluster, so it does not know the
overrides of an environment.

Which parameters affect a service is found by trying: the file is evaluated again with other
values of each parameter (its other choices, or a few of its type), and the results are compared.
An effect that occurs only at a value that was not tried is not found.`,
		Example: `  pipe explain api
  pipe explain api --env staging --set replicas=2
  pipe explain web examples/shop -o json | jq '.params[].name'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "name a service, e.g. pipe explain api")
			}
			return oneFile(cmd, args[1:])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return completeFile(cmd, args[1:], "")
			}
			return a.completeFrom(cmd, nil, eval, serviceNames)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.explain(cmd, args[0], args[1:], eval, show)
		},
	}
	eval.add(cmd)
	show.add(cmd)
	return cmd
}

func (a *app) explain(cmd *cobra.Command, service string, args []string, eval evalFlags, show showFlags) error {
	file, err := a.find(cmd, args)
	if err != nil {
		return err
	}
	defer a.hide()
	v := &invocation{app: a, cmd: cmd, file: file, eval: eval, show: show}
	e, err := v.begin(cmd.Context(), v.evaluate)
	if err != nil {
		return err
	}
	told := why.Of(e.plan, service)
	if told == nil {
		var names []string
		for _, s := range e.plan.Services {
			names = append(names, s.Name)
		}
		return usagef(cmd, "%s has no service %q%s", e.plan.Pipeline.Name, service, didYouMean(service, names))
	}
	err = told.Reach(cmd.Context(), e.plan, func(ctx context.Context, name, value string) (*plan.Plan, error) {
		other := *v
		other.eval.set = append(slices.Clone(eval.set), name+"="+value) // the last one wins
		again, err := other.evaluate(ctx, nil)
		return again.plan, err
	})
	if err != nil {
		return err
	}
	a.hide()
	return a.write(show.output, told, func() error { return why.Write(a.stdout, told) })
}
