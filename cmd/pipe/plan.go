package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// patience limits how long plan waits for a cluster that was not named
// explicitly.
const patience = 3 * time.Second

func (a *app) planCmd() *cobra.Command {
	var (
		v      invocation
		detail bool
		again  bool
	)
	cmd := &cobra.Command{
		Use:   "plan [PIPELINEFILE]",
		Short: "Show what a run would do, and why",
		Long: `plan evaluates a Pipelinefile and shows its stages in order, the services in them,
where each is declared, and what a run would build, mirror and deploy. It changes
and starts nothing. It can say what is already built and deployed only if the
cluster and the registry answer. If it is known that the run would fail, as when a source
of --secrets fails, the exit status is that of the run.

With -o json or -o yaml it writes the plan itself, as docs/plan-json.md describes.

With --watch it keeps running, and shows the plan again whenever the Pipelinefile or a file
that it reads changes. Errors are shown with their positions, and the next change is evaluated.
Ctrl-C ends it. -o json writes one line per evaluation: the plan, or
{"version": 1, "errors": […]} if the file is invalid.`,
		Example: `  pipe plan
  pipe plan --env staging --context staging --registry registry.example.com/shop --set title=Shop
  pipe plan examples/shop --params staging.yaml --service api --local
  pipe plan --env staging --prune
  pipe plan --detailed-exitcode --kubeconfig staging.conf || echo "status $?"
  pipe plan --watch
  pipe plan -o json | jq '.services[].name'`,
	}
	a.onFile(cmd, &v, func(v *invocation) error {
		switch {
		case again && detail:
			return usagef(v.cmd, "--detailed-exitcode cannot be combined with --watch")
		case again:
			return v.planAgain()
		}
		return v.plan(detail)
	})
	v.addCompared(a, cmd, &detail)
	addOnChange(cmd, &again, "show the plan")
	return cmd
}

// A prospect is what plan shows.
type prospect struct {
	plan     *plan.Plan
	preview  ui.Preview
	key      runtime.EnvironmentKey
	foreseen error // the failure that a run is known to have
}

func (v *invocation) plan(detail bool) error {
	defer v.hide()
	p, err := v.foresee(v.cmd.Context(), detail)
	if err != nil {
		return err
	}
	v.hide()
	if err := v.write(v.show.output, p.plan, func() error { return ui.Plan(v.stdout, p.preview) }); err != nil {
		return err
	}
	if p.foreseen != nil {
		return p.foreseen
	}
	if detail && p.preview.Changes() > 0 {
		return errChanges
	}
	return nil
}

// planAgain shows a plan, and again whenever one of its inputs changes. On an
// error, the inputs of the last plan stay watched.
func (v *invocation) planAgain() error {
	defer v.hide()
	root, err := interp.Workspace(v.file)
	if err != nil {
		return err
	}
	v.eval.trees, v.show.since = &interp.Trees{}, v.now()
	var last reading
	return v.onChange(v.cmd.Context(), root, func(ctx context.Context, changes []watch.Change) (reading, error) {
		for _, c := range changes {
			v.eval.trees.Changed(c.Paths)
		}
		p, err := v.foresee(ctx, false, changes...)
		v.hide()
		var wrong *interp.Error
		var usage *usageError
		switch {
		case ctx.Err() != nil: // superseded
			return last, nil
		case errors.As(err, &wrong):
			return reading{slices.Concat(last.inputs, wrong.Inputs), last.builds}, v.failed(v.show.output, err)
		case err != nil && last.inputs == nil && errors.As(err, &usage):
			return last, err
		case err != nil:
			return last, v.failed(v.show.output, err)
		}
		is := p.plan
		last = reading{is.Inputs, is.Builds}
		err = v.stream(v.show.output, is, func() error { return ui.Plan(v.stdout, p.preview) })
		if err == nil && p.foreseen != nil {
			v.report(p.foreseen)
		}
		return last, err
	})
}

// foresee evaluates a file and, if that is shown, determines what a run would
// do.
func (v *invocation) foresee(ctx context.Context, detail bool, changes ...watch.Change) (*prospect, error) {
	progress, err := v.progress(v.cmd, v.show)
	if err != nil {
		return nil, err
	}
	v.changed(changes)
	progress.Doing("evaluating " + v.file)
	e, err := v.evaluate(ctx, v.printed(progress))
	var wrong *interp.Error
	if errors.As(err, &wrong) && len(wrong.Missing) > 0 {
		asking, stop := patiently(ctx, v.part)
		e, err = v.withRecorded(asking, wrong)
		stop()
	}
	if err == nil {
		err = checkServices(v.cmd, e.plan, v.flags.services)
	}
	if err != nil {
		return nil, err
	}
	key := runtime.KeyOf(e.plan)
	p := &prospect{plan: e.plan, preview: ui.Preview{Plan: e.plan, Namespace: key.Namespace()}, key: key}
	if v.show.output != "text" && !detail {
		return p, nil
	}
	is, steps, err := v.preview(ctx, &e, key)
	p.plan, p.preview.Plan, p.preview.Recorded = e.plan, e.plan, e.recorded
	if is != nil {
		p.preview.Plan, p.preview.Overridden = is, inspect.Overridden(e.plan, is)
	}
	var foreseen *runtime.RunError
	var source *local.SourceError
	var usage *usageError
	var owned *runtime.OwnedError
	var elsewhere *runtime.ElsewhereError
	var moved *runtime.MovedError
	switch {
	case err == nil:
		p.preview.Steps = steps
	case errors.As(err, &foreseen):
		p.preview.Steps, p.foreseen = steps, &runFailure{err, p.plan, key}
	case !detail && errors.As(err, &source):
		p.preview.Unknown, p.foreseen = "a source of secrets fails", err
	case detail, ctx.Err() != nil, errors.As(err, &usage), errors.As(err, &owned), errors.As(err, &elsewhere), errors.As(err, &moved):
		return nil, err
	default: // the evaluated file is worth showing anyway
		p.preview.Unknown = err.Error()
	}
	return p, nil
}

// patiently returns a context with a short timeout for an optional cluster.
func patiently(ctx context.Context, part partFlags) (context.Context, context.CancelFunc) {
	if part.kubeconfig != "" || part.context != "" || part.local {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, patience, &local.UnavailableError{
		Part: "cluster", Err: fmt.Errorf("no answer within %s", patience)})
}

// preview determines what a run would do. The plan is that of e with the
// overrides of the environment; nil: unknown.
func (v *invocation) preview(ctx context.Context, e *evaluation, key runtime.EnvironmentKey) (*plan.Plan, []runtime.Step, error) {
	v.current().Doing("looking at what is deployed in " + key.Namespace())
	opts, err := v.partOptions(v.cmd, v.part, *e, true)
	if err == nil {
		err = opts.FetchSecrets(ctx) // for which the short timeout does not count
	}
	if err != nil {
		return nil, nil, err
	}
	opening, stop := patiently(ctx, v.part)
	rt, err := v.openWith(opening, v.cmd, opts)
	stop()
	if err != nil {
		return nil, nil, err
	}
	defer v.closeParts(rt)
	again, env, err := v.evaluateAgain(ctx, rt, *e)
	if err != nil {
		return nil, nil, err
	}
	*e = again
	is, err := effective(env, again)
	if err != nil {
		return nil, nil, err
	}
	req := v.request(runtime.Deploy, key, v.flags)
	req.Plan = e.plan
	steps, err := rt.Preview(ctx, req)
	return is, steps, err
}
