package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

// cloneFlags are the flags of the verbs that create an environment from another
// one.
type cloneFlags struct {
	env    envFlags
	part   partFlags
	show   showFlags
	run    runFlags
	eval   evalFlags
	to     string // the namespace of the new one
	ttl    time.Duration
	deploy bool
}

func (f *cloneFlags) add(a *app, cmd *cobra.Command, ttl time.Duration) {
	f.env.add(cmd)
	f.eval.addParams(cmd)
	cmd.Flags().StringVar(&f.to, "to-namespace", "", "the Kubernetes `namespace` of the new environment, e.g. --to-namespace mastodon-test "+
		"(default: namespace= of the Pipelinefile, else PIPELINE-ENVIRONMENT)")
	cmd.Flags().DurationVar(&f.ttl, "ttl", ttl, "delete it after this `time`, at the next run or \"pipe gc\", e.g. --ttl 72h (0: never)")
	zeroIsMeant(cmd, "ttl")
	cmd.Flags().BoolVar(&f.deploy, "deploy", false, "deploy it immediately, e.g. pipe clone staging load-test --deploy")
	f.run.addDeploy(cmd)
	f.run.addWay(cmd)
	f.part.add(cmd)
	f.show.add(cmd)
	cmd.ValidArgsFunction = a.completeEnvironments(&f.part, 1)
}

func (a *app) cloneCmd() *cobra.Command {
	var flags cloneFlags
	cmd := &cobra.Command{
		Use:   "clone SRC DST",
		Short: "Create an environment from another one",
		Long: `clone creates the environment DST with the services, the parameters and the overrides of
SRC. Services that are skipped in SRC, by the file or by an override, are skipped in DST, and stay
so when SRC unskips them later. Data and credentials are not copied: databases of DST are
empty and get new passwords. Nothing is deployed without --deploy.

If the Pipelinefile of the pipeline is found here, it is evaluated for DST; otherwise DST
gets the last plan of SRC.`,
		Example: `  pipe clone staging load-test
  pipe clone staging load-test --deploy --set replicas=10
  pipe clone staging tomorrow --ttl 24h`,
		Args: takes("SRC", "DST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.clone(cmd, args[0], runtime.CloneRequest{Name: args[1]}, flags)
		},
	}
	flags.add(a, cmd, 0)
	return cmd
}

func (a *app) previewCmd() *cobra.Command {
	var flags cloneFlags
	var branch, name string
	cmd := &cobra.Command{
		Use:   "preview SRC --branch BRANCH",
		Short: "Create a preview of a branch",
		Long: `preview creates a clone of SRC in which git sources that have the branch use it; the
others use the same ref as SRC. Services skipped in SRC stay skipped. It is deleted when
its time to live is over, by the next run in the cluster or by "pipe gc".`,
		Example: `  pipe preview staging --branch feature/checkout --deploy
  pipe preview staging --branch feature/checkout --name checkout --ttl 24h
  pipe preview shop/staging --branch fix-42 --ttl 0`,
		Args: takes("SRC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if branch == "" {
				return usagef(cmd, "a preview requires a branch: name it with --branch")
			}
			if name == "" {
				name = runtime.PreviewName(branch)
			}
			return a.clone(cmd, args[0], runtime.CloneRequest{Name: name, Branch: branch}, flags)
		},
	}
	cmd.Flags().StringVar(&branch, "branch", "", "the `branch`, e.g. --branch feature/checkout")
	cmd.Flags().StringVar(&name, "name", "", "the `name` of the environment, e.g. --name checkout (default: made from the branch)")
	const threeDays = 72 * time.Hour
	flags.add(a, cmd, threeDays)
	return cmd
}

// clone creates an environment and, if requested, deploys it.
func (a *app) clone(cmd *cobra.Command, source string, req runtime.CloneRequest, flags cloneFlags) error {
	ctx := cmd.Context()
	defer a.hide()
	progress, err := a.progress(cmd, flags.show)
	if err != nil {
		return err
	}
	if flags.ttl < 0 {
		return usagef(cmd, "--ttl %s: the time to live must be positive, or 0 for none", flags.ttl)
	}
	progress.Doing("looking for environment " + source)
	op, err := a.openEnvironment(ctx, cmd, source, targetFlags{flags.env, flags.part})
	if err != nil {
		return err
	}
	cluster, src := op.cluster, op.env
	req.Source, req.TTL, req.Namespace = src.Key, flags.ttl, flags.to
	if req.Plan, err = a.planOfClone(cmd, src, req, flags); err != nil {
		return err
	}
	env, err := cluster.Clone(ctx, req)
	if err != nil {
		return cluster.Explain(err)
	}
	if flags.deploy {
		a.note(fmt.Sprintf("environment %s created; deploying it", env.Key.Name))
		act := actFlags{part: flags.part, show: flags.show, run: flags.run}
		return a.act(cmd, env, act, a.request(runtime.Deploy, env.Key, flags.run))
	}
	a.hide()
	made := inspect.Of(env)
	return a.write(flags.show.output, versioned(made), func() error { return ui.Made(a.stdout, made) })
}

// planOfClone evaluates the Pipelinefile found here for the new environment, if
// it belongs to the source's pipeline. Without it, parameters cannot be given.
func (a *app) planOfClone(cmd *cobra.Command, src *runtime.Environment, req runtime.CloneRequest, flags cloneFlags) (*plan.Plan, error) {
	file, ok := a.nearest()
	if !ok || a.here(cmd.Context(), src.Key.Name).Pipeline != src.Key.Pipeline {
		if len(flags.eval.set)+len(flags.eval.params) > 0 {
			return nil, usagef(cmd, "--set and --params need the Pipelinefile of %s, which is not in this directory or a parent", src.Key.Pipeline)
		}
		return nil, nil
	}
	ref := plan.EnvironmentRef{Name: req.Name, Kind: plan.KindClone, Source: src.Key.Name, Branch: src.Branch, Namespace: flags.to}
	if req.Branch != "" {
		ref.Kind, ref.Branch = plan.KindPreview, req.Branch
	}
	e, err := (&invocation{app: a, cmd: cmd, file: file, eval: flags.eval}).evaluateFor(cmd.Context(), ref, src.Params(), a.printed(a.current()))
	return e.plan, err
}

// versioned is the JSON form of one environment.
func versioned(env inspect.Environment) any {
	return struct {
		Version int `json:"version"`
		inspect.Environment
	}{inspect.Version, env}
}
