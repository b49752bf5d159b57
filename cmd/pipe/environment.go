package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// envFlags select the pipeline of an environment.
type envFlags struct {
	pipeline string
	namespaceFlag
}

func (f *envFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.pipeline, "pipeline", "", "the `pipeline` of the environment, if several have one of that name, e.g. --pipeline shop "+
		"(default: that of the Pipelinefile in this directory or a parent)")
	f.namespaceFlag.add(cmd)
}

// takes returns an argument check for a verb with these arguments, such as
// "ENV".
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usagef(cmd, "%s takes %s, not %d arguments", cmd.CommandPath(), strings.Join(names, " "), len(args))
	}
}

// environment finds an environment by name: of the pipeline given with
// --pipeline or as "pipeline/name"; otherwise of the pipeline of the nearest
// Pipelinefile; otherwise the only one of that name in the cluster. It looks first
// in the namespace that is given or declared, and then in all of them.
func (a *app) environment(cmd *cobra.Command, cluster *local.Cluster, name string, f envFlags) (*runtime.Environment, error) {
	ctx := cmd.Context()
	if pipeline, rest, ok := strings.Cut(name, "/"); ok {
		f.pipeline, name = pipeline, rest
	}
	here := runtime.EnvironmentKey{Pipeline: f.pipeline, Name: name}
	if f.pipeline == "" || f.namespace == "" {
		if is := a.here(ctx, name); f.pipeline == "" || f.pipeline == is.Pipeline {
			here, f.pipeline = is, is.Pipeline
		}
	}
	if f.pipeline != "" {
		key := here
		if f.namespace != "" {
			key = key.At(f.namespace)
		}
		env, err := cluster.Store.Environment(ctx, key)
		if err == nil || !errors.Is(err, runtime.ErrNotFound) {
			return env, cluster.Explain(err)
		}
		var elsewhere *runtime.ElsewhereError
		if _, err := cluster.Store.Owns(ctx, key); errors.As(err, &elsewhere) {
			return nil, err
		}
	}
	all, damaged, err := cluster.Store.Environments(ctx, f.pipeline)
	if err != nil {
		return nil, cluster.Explain(err)
	}
	var found *runtime.Environment
	var bad error
	var names, pipelines []string
	elsewhere := ""
	for _, d := range damaged {
		if !f.in(d.Key) {
			continue
		}
		names = append(names, d.Key.Name)
		if d.Key.Name == name {
			bad, pipelines = d, append(pipelines, d.Key.Pipeline)
		}
	}
	for _, env := range all {
		if !f.in(env.Key) {
			if env.Key.Name == name {
				elsewhere = env.Key.Namespace()
			}
			continue
		}
		names = append(names, env.Key.Name)
		if env.Key.Name == name {
			found, pipelines = env, append(pipelines, env.Key.Pipeline)
		}
	}
	of := ""
	if f.pipeline != "" {
		of = " of pipeline " + f.pipeline
	}
	if f.namespace != "" {
		of += " in namespace " + f.namespace
	}
	switch {
	case len(pipelines) == 1:
		return found, bad
	case len(pipelines) > 1:
		return nil, usagef(cmd, "%s is an environment of %s: choose one with --pipeline", name, strings.Join(pipelines, " and of "))
	case elsewhere != "":
		return nil, usagef(cmd, "no environment %q%s: it is in namespace %s", name, of, elsewhere)
	case len(names) == 0:
		if flag := cmd.Flag("state-namespace"); flag != nil && flag.Value.String() == "" {
			elsewhere = "; if its state is in another namespace, give it with --state-namespace"
		}
		return nil, usagef(cmd, "no environment %q%s (none exist yet); create it with: pipe run --env %s%s", name, of, name, elsewhere)
	}
	return nil, usagef(cmd, "no environment %q%s%s", name, of, didYouMean(name, names))
}

// in reports whether an environment is in the namespace that is given, if one is.
func (f envFlags) in(key runtime.EnvironmentKey) bool {
	return f.namespace == "" || key.Namespace() == f.namespace
}

// here returns the environment of that name of the nearest Pipelinefile. Without a
// Pipelinefile that can be evaluated, its pipeline is empty.
func (a *app) here(ctx context.Context, env string) runtime.EnvironmentKey {
	none := runtime.EnvironmentKey{Name: env}
	file, ok := a.nearest()
	if !ok {
		return none
	}
	key, err := a.keyIn(ctx, file, plan.EnvironmentRef{Name: env, Kind: plan.KindEnvironment}, nil)
	if err != nil {
		return none
	}
	return key
}

// workspace returns the directory that sources and charts of an environment are
// relative to.
func (a *app) workspace() string {
	if file, ok := a.nearest(); ok {
		if root, err := interp.Workspace(file); err == nil {
			return root
		}
	}
	return a.dir
}

// completeEnvironments completes the first n arguments with environments.
func (a *app) completeEnvironments(part *partFlags, n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, env := range a.environmentsSoon(cmd, part) {
			names = append(names, cobra.CompletionWithDesc(env.Key.Name, string(env.Kind)+" of "+env.Key.Pipeline))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// environmentsSoon returns the environments of the cluster, within the time
// limit of a completion.
func (a *app) environmentsSoon(cmd *cobra.Command, part *partFlags) []*runtime.Environment {
	ctx, stop := context.WithTimeout(cmd.Context(), completionTime)
	defer stop()
	if a.bindVariables(cmd) != nil {
		return nil
	}
	opts, err := a.partOptions(cmd, *part, evaluation{workspace: a.dir}, true)
	if err != nil {
		return nil
	}
	cluster, err := a.cluster(ctx, opts)
	if err != nil {
		return nil
	}
	envs, _, err := cluster.Store.Environments(ctx, "")
	if err != nil {
		return nil
	}
	return envs
}

// completeServicesOf completes --service with the services of the environment
// in the first argument.
func (a *app) completeServicesOf(cmd *cobra.Command, part *partFlags, f *envFlags) {
	// It fails only for an undefined flag.
	_ = cmd.RegisterFlagCompletionFunc("service", func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.servicesSoon(cmd, part, f, args), cobra.ShellCompDirectiveNoFileComp
	})
}

// servicesSoon returns the services of the environment at the start of args.
func (a *app) servicesSoon(cmd *cobra.Command, part *partFlags, f *envFlags, args []string) []string {
	var names []string
	for _, p := range a.plansSoon(cmd, part, f, args) {
		for i := range p.Services {
			names = append(names, completedService(&p.Services[i]))
		}
	}
	return names
}

// completedService is the completion for a service.
func completedService(s *plan.Service) string {
	return cobra.CompletionWithDesc(s.Name, fmt.Sprintf("%s in %s", s.Type, s.Stage))
}

// plansSoon returns the last plans of the environments at the start of args:
// there may be one in each of several pipelines.
func (a *app) plansSoon(cmd *cobra.Command, part *partFlags, f *envFlags, args []string) []*plan.Plan {
	if len(args) == 0 {
		return nil
	}
	var plans []*plan.Plan
	for _, env := range a.environmentsSoon(cmd, part) {
		named := env.Key.Name == args[0] && (f.pipeline == "" || f.pipeline == env.Key.Pipeline) || env.Key.Pipeline+"/"+env.Key.Name == args[0]
		if named && env.Plan != nil {
			plans = append(plans, env.Plan)
		}
	}
	return plans
}
