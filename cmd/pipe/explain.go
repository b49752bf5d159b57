package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/why"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
)

func (a *app) explainCmd() *cobra.Command {
	var (
		eval  evalFlags
		part  partFlags
		show  showFlags
		image bool
	)
	cmd := &cobra.Command{
		Use:   "explain SERVICE [PIPELINEFILE]",
		Short: "Explain the configuration of a service",
		Long: `explain shows where a service is declared, why it is in its stage, why it is skipped,
how its image and its chart are made, which secrets it uses, and which parameters affect it,
each with its position in the Pipelinefile. It contacts no cluster, so it does not know the
overrides of an environment.

To find out which parameters affect the service, it evaluates the file again with other values of
each parameter (its other choices, or a few of its type) and compares the results. It misses an
effect that occurs only with a value that was not tried.

With --image it shows instead which inputs differ between the deployed image and the one that would
be built: files, arguments, the Dockerfile or the command, the target, platforms, names of secrets,
images that are arguments. It also lists the base images of the deployed one. It reads the environment and the
registry, and builds nothing. The inputs of an image are recorded beside it in the registry, file by
file for up to 10 000 files.`,
		Example: `  pipe explain api
  pipe explain api --image --env staging
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
			if image {
				return a.explainImage(cmd, args[0], args[1:], eval, part, show)
			}
			return a.explain(cmd, args[0], args[1:], eval, show)
		},
	}
	eval.add(cmd)
	part.add(cmd)
	show.add(cmd)
	cmd.Flags().BoolVar(&image, "image", false, "show which inputs differ between the deployed image and the one that would be built, e.g. pipe explain api --image")
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
	reason := why.Of(e.plan, service)
	if reason == nil {
		return noService(cmd, e.plan, service)
	}
	err = reason.Reach(cmd.Context(), e.plan, func(ctx context.Context, name, value string) (*plan.Plan, error) {
		other := *v
		other.eval.set = append(slices.Clone(eval.set), name+"="+value) // the last one wins
		again, err := other.evaluate(ctx, nil)
		return again.plan, err
	})
	if err != nil {
		return err
	}
	a.hide()
	return a.write(show.output, reason, func() error { return why.Write(a.stdout, reason) })
}

func noService(cmd *cobra.Command, p *plan.Plan, service string) error {
	return usagef(cmd, "%s has no service %q%s", p.Pipeline.Name, service, didYouMean(service, serviceNamesOf(p)))
}

// explainImage says in what the image of a service differs from the deployed one.
func (a *app) explainImage(cmd *cobra.Command, service string, args []string, eval evalFlags, part partFlags, show showFlags) error {
	file, err := a.find(cmd, args)
	if err != nil {
		return err
	}
	defer a.hide()
	v := &invocation{app: a, cmd: cmd, file: file, eval: eval, part: part, show: show}
	e, err := v.begin(cmd.Context(), v.evaluateRecorded)
	if err != nil {
		return err
	}
	if e.plan.Service(service) == nil {
		return noService(cmd, e.plan, service)
	}
	rt, err := a.openParts(cmd.Context(), cmd, part, e, true)
	if err != nil {
		return err
	}
	defer a.closeParts(rt)
	all, err := rt.ExplainImages(cmd.Context(), e.plan, service)
	if err != nil {
		return err
	}
	a.hide()
	result := struct {
		Version     int                 `json:"version"`
		Pipeline    string              `json:"pipeline"`
		Environment string              `json:"environment"`
		Service     string              `json:"service"`
		Images      []local.ImageChange `json:"images"`
	}{inspect.Version, e.plan.Pipeline.Name, e.plan.Environment.Name, service, all}
	return a.write(show.output, result, func() error { return a.writeImageChanges(result.Environment, service, all) })
}

// maxChanges is how many changed files are listed.
const maxChanges = 50

func (a *app) writeImageChanges(env, service string, all []local.ImageChange) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(a.stdout, "%s: nothing is built for it\n", service)
		return err
	}
	for _, c := range all {
		what := "the image of " + service
		if c.Name != "" {
			what = fmt.Sprintf("the image %s of %s", c.Name, service)
		}
		switch {
		case c.Deployed == "":
			fmt.Fprintf(a.stdout, "%s: environment %s has no deployed one\n", what, env)
		case c.Same:
			fmt.Fprintf(a.stdout, "%s is the deployed one, %s\n", what, c.Deployed)
		case !c.Known:
			fmt.Fprintf(a.stdout, "%s is another one than the deployed one, %s; what that was built from is not noted beside it\n", what, c.Deployed)
		case len(c.Changes) == 0:
			fmt.Fprintf(a.stdout, "%s is another one than the deployed one, %s, although no noted input differs: it was removed from the registry, or files were copied into it\n", what, c.Deployed)
		default:
			fmt.Fprintf(a.stdout, "%s is another one than the deployed one, %s:\n", what, c.Deployed)
		}
		for i, change := range c.Changes {
			if i == maxChanges {
				fmt.Fprintf(a.stdout, "  and %d more: -o json lists them\n", len(c.Changes)-i)
				break
			}
			fmt.Fprintln(a.stdout, "  "+change.String())
		}
		for _, base := range c.Bases {
			fmt.Fprintf(a.stdout, "  the deployed one is built from %s@%s\n", base.Image, base.Digest)
		}
	}
	return nil
}
