package main

import (
	"errors"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/doctor"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// errUnwell means that a check failed, which the report says already.
var errUnwell = errors.New("pipe cannot work here as it is")

func (a *app) doctorCmd() *cobra.Command {
	var (
		env  envFlags
		name string
		part partFlags
		show showFlags
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what pipe needs, and how to fix what is missing",
		Long: `doctor checks the builder, the registry, the mirrors of $PIPE_HOME/registries.conf, the cluster, the rights in the namespace of an
environment, the limits and file systems that matter to watch mode for the nearest
Pipelinefile, and the disk, and says how to fix each problem. It exits with status 1 if something keeps pipe from working.`,
		Example: `  pipe doctor
  pipe doctor --pipeline shop --env staging --context staging
  pipe doctor --local --registry registry.example.com/shop
  pipe doctor -o json | jq '.checks[] | select(.state != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer a.hide()
			if _, err := a.progress(cmd, show); err != nil {
				return err
			}
			opts, err := a.partOptions(cmd, part, evaluation{workspace: a.workspace()}, true)
			if err != nil {
				return err
			}
			key := a.here(cmd.Context(), name)
			if env.pipeline != "" && env.pipeline != key.Pipeline {
				key = runtime.EnvironmentKey{Pipeline: env.pipeline, Name: name}
			}
			if key.Pipeline == "" {
				key.Pipeline = "pipe"
			}
			if env.namespace != "" {
				key = key.At(env.namespace)
			}
			evaluated := sync.OnceValues(func() (*plan.Plan, error) { return a.plan(cmd, name) })
			report := doctor.Examine(cmd.Context(), doctor.Options{
				Local: opts, Open: a.open, Cluster: a.cluster,
				Survey:      func() (watch.Surveyed, error) { return a.survey(evaluated) },
				Environment: key,
				Plan: func() *plan.Plan {
					if p, err := evaluated(); err == nil && p.Pipeline.Name == key.Pipeline {
						return p
					}
					return nil // the files have nothing to do with the environment, or have errors
				},
			})
			a.hide()
			if err := a.write(show.output, report, func() error { return doctor.Write(a.stdout, report) }); err != nil {
				return err
			}
			if !report.Good() {
				return errUnwell
			}
			return nil
		},
	}
	env.add(cmd)
	cmd.Flags().StringVar(&name, "env", "default", "the `environment` in whose namespace rights are checked, e.g. --env staging")
	part.add(cmd)
	show.add(cmd)
	return cmd
}

// survey reports what watch mode would watch for the nearest Pipelinefile; if
// the file has errors, what was read before them.
func (a *app) survey(evaluated func() (*plan.Plan, error)) (watch.Surveyed, error) {
	root, inputs, builds := a.workspace(), []plan.Input(nil), []plan.BuildSpec(nil)
	if _, ok := a.nearest(); ok {
		p, err := evaluated()
		var wrong *interp.Error
		switch {
		case err == nil:
			inputs, builds = p.Inputs, p.Builds
		case errors.As(err, &wrong):
			inputs = wrong.Inputs
		default:
			return watch.Surveyed{}, err
		}
	}
	return watch.Survey(root, inputs, builds)
}

// plan evaluates the nearest Pipelinefile.
func (a *app) plan(cmd *cobra.Command, env string) (*plan.Plan, error) {
	file, ok := a.nearest()
	if !ok {
		return nil, runtime.ErrNotFound
	}
	e, err := (&invocation{app: a, cmd: cmd, file: file, eval: evalFlags{env: env}}).evaluate(cmd.Context(), nil)
	return e.plan, err
}
