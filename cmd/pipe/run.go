package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

func (a *app) runCmd() *cobra.Command {
	var (
		v    invocation
		live watchFlags
	)
	cmd := &cobra.Command{
		Use:   "run [PIPELINEFILE]",
		Short: "Evaluate a Pipelinefile, build and deploy it",
		Long: `run evaluates a Pipelinefile, builds the images that the registry does not have,
and deploys the services that are not up to date, stage by stage. Without an
argument it uses the Pipelinefile in this directory or the nearest parent. A
parameter without a default and without a value keeps the value of the environment's
last run.

With --watch it keeps running, and does so again whenever the Pipelinefile or a file that it
reads changes: only changes are built and deployed, a newer change cancels
outdated builds, and an error in the file keeps the last valid plan in
effect. Ctrl-C ends it and leaves everything running.`,
		Example: `  pipe run --local
  pipe run --local --watch
  pipe run --env staging --context staging --registry registry.example.com/shop --set title=Shop
  pipe run examples/shop --params staging.yaml --secrets secrets.env --timeout 30m --wait-lock
  pipe run --env production --secrets env:  # such as the key of sign= in COSIGN_PRIVATE_KEY
  pipe run --service api --service web --force
  pipe run --keep-going --on-failure keep --progress plain
  pipe run --buildkit tcp://builder:1234 --kubeconfig staging.conf -o json --progress json`,
	}
	a.onFile(cmd, &v, func(v *invocation) error {
		if err := live.unused(v.cmd); err != nil {
			return err
		}
		if live.on {
			return v.watch(live)
		}
		return v.run()
	})
	v.eval.add(cmd)
	v.flags.add(cmd)
	cmd.Flags().Lookup("timeout").Usage = "end the run, or with --watch each of its runs, after this `time`, e.g. --timeout 30m (default: 0, no limit)"
	v.part.add(cmd)
	v.show.add(cmd)
	live.add(cmd)
	a.completeNames(cmd, &v.eval, &v.part)
	return cmd
}

// run evaluates a file and deploys its plan.
func (v *invocation) run() error {
	defer v.hide()
	e, err := v.begin(v.cmd.Context(), v.evaluateRecorded)
	if err != nil {
		return err
	}
	v.warn(e.plan.Warnings...)
	return v.deploy(v.cmd.Context(), e)
}

// warn shows warnings of a plan.
func (a *app) warn(list ...plan.Diagnostic) {
	for _, d := range list {
		a.current().Event(runtime.Event{Time: a.now(), Body: runtime.Warned{Diagnostic: d}})
	}
}

// deploy runs a plan and shows the result.
func (v *invocation) deploy(ctx context.Context, e evaluation) error {
	rt, err := v.openParts(ctx, v.cmd, v.part, e, false)
	if err != nil {
		return err
	}
	defer v.closeParts(rt)
	if e, _, err = v.evaluateAgain(ctx, rt, e); err != nil {
		return err
	}
	v.noteRecorded(e)
	req := v.request(runtime.Deploy, runtime.KeyOf(e.plan), v.flags)
	req.Plan = e.plan
	req.Commit, _ = git.Head(ctx, e.workspace) // the workspace may not be in a repository
	return v.carryOut(ctx, rt, req, e.plan, v.show)
}

// existing returns an environment, or nil if it does not exist.
func existing(ctx context.Context, rt *local.Runtime, key runtime.EnvironmentKey) (*runtime.Environment, error) {
	env, err := rt.Store.Environment(ctx, key)
	if errors.Is(err, runtime.ErrNotFound) {
		return nil, nil
	}
	return env, err
}

// effective returns the plan of an evaluation with the overrides of the environment (E4,
// S6), which is nil if it does not exist.
func effective(env *runtime.Environment, e evaluation) (*plan.Plan, error) {
	if env == nil {
		return e.plan, nil
	}
	return env.Apply(e.plan)
}

// request returns the request that the flags describe.
func (a *app) request(action runtime.Action, key runtime.EnvironmentKey, flags runFlags) runtime.Request {
	return runtime.Request{
		Action:      action,
		Environment: key,
		Services:    flags.services,
		OnFailure:   runtime.OnFailure(flags.onFailure),
		KeepGoing:   flags.keepGoing,
		Force:       flags.force,
		Prune:       flags.prune,
		Adopt:       flags.adopt,
		WaitLock:    flags.waitLock,
		Supersede:   flags.supersede,
		Timeout:     flags.timeout,
		By:          a.user,
	}
}

// carryOut runs a request and shows the result; p is used to explain failures.
func (a *app) carryOut(ctx context.Context, rt *local.Runtime, req runtime.Request, p *plan.Plan, show showFlags) error {
	view := a.current()
	view.Doing("looking at what is deployed in " + req.Environment.Namespace())
	req.Events = view.Event
	rec, err := rt.Run(ctx, req)
	a.hide()
	if rec != nil {
		if e := a.write(show.output, rec, func() error { return ui.Result(a.stdout, req.Environment.Namespace(), rec) }); e != nil {
			err = errors.Join(err, e)
		}
	}
	if err == nil {
		return nil
	}
	return &runFailure{err, p, req.Environment}
}

// A runFailure is the error of a run, with what is needed to explain it.
type runFailure struct {
	error
	plan *plan.Plan // nil: not known
	key  runtime.EnvironmentKey
}

func (e *runFailure) Unwrap() error { return e.error }

// write writes a result in the format of -o; text writes it for people.
func (a *app) write(format string, v any, text func() error) error {
	switch format {
	case "json":
		var b bytes.Buffer
		e := ui.Encoder(&b)
		e.SetIndent("", "  ")
		if err := e.Encode(v); err != nil {
			return err
		}
		_, err := a.stdout.Write(b.Bytes())
		return err
	case "yaml":
		data, err := asYAML(v)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(data)
		return err
	}
	return text()
}

// asYAML returns a result as YAML. The YAML library rejects control characters
// that JSON allows.
func asYAML(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(ui.EscapeJSON(data))
}

// checkServices rejects names in --service that are not in the plan.
func checkServices(cmd *cobra.Command, p *plan.Plan, names []string) error {
	for _, name := range names {
		if p.Service(name) == nil {
			return usagef(cmd, "--service %s: %s has no such service%s", name, p.Pipeline.Name, didYouMean(name, serviceNamesOf(p)))
		}
	}
	return nil
}

// serviceNamesOf returns the names of the services of a plan.
func serviceNamesOf(p *plan.Plan) []string {
	var all []string
	for i := range p.Services {
		all = append(all, p.Services[i].Name)
	}
	return all
}

// printed shows the output of print() of a Pipelinefile (L5).
func (a *app) printed(view ui.View) func(plan.Pos, string) {
	return func(pos plan.Pos, text string) {
		view.Event(runtime.Event{Time: a.now(), Body: runtime.Printed{Pos: pos, Text: text}})
	}
}

// progress starts showing progress according to the flags (C3).
func (a *app) progress(cmd *cobra.Command, show showFlags) (ui.View, error) {
	mode, err := a.mode(cmd, show)
	if err != nil {
		return nil, err
	}
	return a.begins(ui.Options{Mode: mode, Since: show.since}), nil
}

// mode returns the mode in which progress is shown.
func (a *app) mode(cmd *cobra.Command, show showFlags) (ui.Mode, error) {
	mode := ui.Mode(show.progress)
	switch {
	case mode == ui.TTY && !a.terminal():
		return "", usagef(cmd, "--progress tty: standard error is not a terminal")
	case mode == ui.Auto:
		mode = ui.Plain
		ci, _ := a.env("CI")
		if term, _ := a.env("TERM"); a.terminal() && (ci == "" || ci == "false") && term != "dumb" {
			mode = ui.TTY
		}
	}
	return mode, nil
}

// begins starts showing progress on standard error, according to opts.
func (a *app) begins(opts ui.Options) ui.View {
	a.json = opts.Mode == ui.JSON
	opts.Out, opts.Color, opts.Environ, opts.Now = a.stderr, a.color(), a.environ, a.now
	v := ui.New(opts)
	a.show(v)
	return v
}

// color reports whether standard error supports colours.
func (a *app) color() bool {
	no, _ := a.env("NO_COLOR")
	term, _ := a.env("TERM")
	return no == "" && term != "dumb" && a.terminal()
}
