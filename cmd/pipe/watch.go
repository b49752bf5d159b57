package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/reach"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// watchFlags are the flags of watch mode.
type watchFlags struct {
	on      bool
	allow   []string
	forward bool
	logs    bool
}

func (f *watchFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.on, "watch", false, "keep running, and deploy again whenever the Pipelinefile or a file it reads changes, e.g. pipe run --local --watch")
	fs.StringSliceVar(&f.allow, "allow-context", nil,
		"with --watch: allow this `context` of the kubeconfig although its cluster is not on this machine, e.g. --allow-context staging; repeatable "+
			"(default: allow_contexts= of the Pipelinefile)")
	fs.BoolVar(&f.forward, "forward", false, "with --watch: forward a local port to each TCP port of the services, as pipe forward does, e.g. pipe run --local --watch --forward")
	fs.BoolVar(&f.logs, "logs", true, "with --watch: show the logs of deployed services and write them to a file; much output hides the rest "+
		"if progress is plain: e.g. pipe run --watch --logs=false")
}

// unused returns a usage error for a flag that requires --watch.
func (f *watchFlags) unused(cmd *cobra.Command) error {
	switch {
	case f.on:
		return nil
	case len(f.allow) > 0:
		return usagef(cmd, "--allow-context requires --watch")
	case cmd.Flags().Changed("logs"):
		return usagef(cmd, "--logs requires --watch; pipe logs shows the logs of services")
	case f.forward:
		return usagef(cmd, "--forward requires --watch; pipe forward opens ports without it")
	}
	return nil
}

// A watcher is the state of `pipe run --watch`.
type watcher struct {
	invocation

	view     ui.View
	mode     ui.Mode
	live     bool // view has the whole screen
	keys     bool // and takes keys
	commands chan watch.Command
	quit     context.CancelCauseFunc // ends watch mode without a failure
	now      atomic.Pointer[deployed]
	settled  atomic.Bool // no run in progress, and no failure
	// The environment and its parameters, once known.
	ref    plan.EnvironmentRef
	params map[string]string
	// The plan that the runtime was opened for. Its pipeline and its registry
	// cannot change while the runtime is open.
	opened   *plan.Plan
	forwards *watchForwards // nil: no forwarding
	logs     *watchLogs     // nil: no logs are followed
}

// watch evaluates and deploys on every change, until it is interrupted or the
// user quits.
func (v *invocation) watch(live watchFlags) error {
	defer v.hide()
	v.eval.trees = &interp.Trees{}
	w := &watcher{invocation: *v,
		commands: make(chan watch.Command, 16), ref: v.eval.ref()}
	ctx, quit := context.WithCancelCause(v.cmd.Context())
	w.quit = quit
	defer w.quit(nil)
	if err := w.open(ctx); err != nil {
		return err
	}
	err := w.watch(ctx, live)
	if errors.Is(context.Cause(ctx), errQuit) {
		return nil
	}
	var stop *interrupted
	if w.settled.Load() && errors.As(context.Cause(ctx), &stop) && stop.signal == os.Interrupt {
		return fmt.Errorf("%w: %w", errStayed, stop) // no run was interrupted
	}
	return err
}

func (w *watcher) watch(ctx context.Context, live watchFlags) error {
	a, cmd, eval, part, flags := w.app, w.cmd, w.eval, w.part, w.flags
	e, err := w.first(ctx)
	if err != nil {
		return err
	}
	if err := checkServices(cmd, e.plan, flags.services); err != nil {
		return err
	}
	if err := w.allowed(e, live.allow); err != nil {
		return err
	}
	rt, err := a.openWarm(ctx, cmd, part, e)
	if err != nil {
		return err
	}
	defer a.closeParts(rt)
	w.opened = e.plan
	rt.Keep(e.plan.Namespace())
	if err := w.know(ctx, rt); err != nil {
		return err
	}
	pods, err := reach.Open(rt.Config, e.plan.Namespace())
	if err != nil {
		return err
	}
	defer pods.Close()
	if live.forward {
		w.forwards = a.openForwards(pods)
		defer w.forwards.close()
	}
	if live.logs && rt.Inspector != nil && w.mode != ui.Quiet {
		w.logs = a.openLogs(rt, runtime.KeyOf(e.plan), func() *plan.Plan { return w.now.Load().plan })
		defer w.logs.close()
	}
	req := a.request(runtime.Deploy, runtime.KeyOf(e.plan), flags)
	req.Commit, _ = git.Head(ctx, e.workspace) // there may be no repository
	req.WaitLock, req.KeepGoing = true, true
	w.now.Store(&deployed{e, rt, req.Environment})
	err = watch.Run(ctx, watch.Options{
		Root: e.workspace, Runtime: &rt.Runtime, Evaluate: w.evaluate, Request: req, Events: w.event,
		Commands: w.commands, Ask: w.keys,
		Changed: func(paths []string) {
			eval.trees.Changed(paths)
			rt.Changed(paths)
		},
		Sync: func(report func(service string, s runtime.Synced)) (runtime.Syncer, error) {
			return pods.Syncer(reach.SyncOptions{Report: func(e reach.SyncEvent) { report(e.Place.Service, e.Event()) }, Layer: rt.AddLayer}), nil
		},
		Files: w.files(),
	})
	if ctx.Err() != nil {
		if w.live {
			a.hide() // further output goes below it
		}
		a.note(fmt.Sprintf("everything stays deployed in %s; stop it with: pipe stop %s", req.Environment.Namespace(), eval.env))
	}
	return err
}

// first evaluates until the file has no errors. Each time it reports the errors
// and waits for a change.
func (w *watcher) first(ctx context.Context) (evaluation, error) {
	root, err := interp.Workspace(w.file)
	if err != nil {
		return evaluation{}, err
	}
	var files *watch.Files
	for {
		w.view.Doing("evaluating " + w.file)
		e, err := w.evaluateRecorded(ctx, w.app.printed(w.view))
		var wrong *interp.Error
		if !errors.As(err, &wrong) {
			if files != nil {
				err = errors.Join(err, files.Close())
			}
			return e, err
		}
		w.view.Event(runtime.Event{Time: w.app.now(), Body: runtime.WatchChanged{
			State: runtime.Wrong, Reason: strings.TrimRight(wrong.Error(), "\n"), Errors: wrong.Diagnostics,
		}})
		if files == nil {
			if files, err = watch.OpenFiles(root, w.files()); err != nil {
				return evaluation{}, err
			}
			defer func() { _ = files.Close() }() // closing twice is not an error
		}
		if err := files.Set(wrong.Inputs, nil); err != nil {
			return evaluation{}, err
		}
		select {
		case c := <-files.Changes():
			w.eval.trees.Changed(c.Paths)
		case <-w.commands: // every command means to evaluate again
		case <-ctx.Done():
			return evaluation{}, context.Cause(ctx)
		}
	}
}

// files reports how files are watched, and what cannot be watched.
func (w *watcher) files() watch.FileOptions {
	return watch.FileOptions{Notice: func(n watch.Notice) { w.view.Note(polled(n)) }}
}

// polled says that something is polled instead of watched, why, and what to do.
func polled(n watch.Notice) string {
	where := n.Path
	if where == "" || where == "." {
		where = "the workspace"
	}
	switch n.Reason {
	case watch.SilentFileSystem:
		return fmt.Sprintf("%s is on %s, which does not report changes: it is polled", n.Mount.Path, n.Mount.Type)
	case watch.NoWatches, watch.NoInstances:
		if n.Limit.Name != "" {
			return fmt.Sprintf("no watches are left for %s and what follows, which is polled: %s is %d; raise it with: sysctl -w %s=%d", where, n.Limit.Name, n.Limit.Value, n.Limit.Name, n.Limit.Fitting)
		}
	}
	return fmt.Sprintf("%s cannot be watched, and is polled: %v", where, n.Err)
}

// allowed rejects a cluster that is not on this machine, unless it was allowed
// (C6).
func (w *watcher) allowed(e evaluation, allow []string) error {
	opts, err := w.app.partOptions(w.cmd, w.part, e, true)
	if err != nil {
		return err
	}
	place, err := local.Where(opts)
	if err != nil || place.Local {
		return err
	}
	if len(allow) == 0 {
		allow = e.plan.Pipeline.AllowContexts
	}
	if slices.Contains(allow, place.Context) {
		return nil
	}
	return usagef(w.cmd, "--watch deploys at each change, and the cluster of context %q (%s) is not on this machine: allow it with --allow-context %s, or with pipeline(allow_contexts = [%q]), or name another one with --context",
		place.Context, place.Host, place.Context, place.Context)
}

// know reads the state of the environment: for a clone or a preview, the branch
// and parameters that evaluations continue with (E2).
func (w *watcher) know(ctx context.Context, rt *local.Runtime) error {
	env, err := existing(ctx, rt, runtime.KeyOf(w.opened))
	if err != nil || env == nil {
		return err
	}
	w.params = env.Params()
	if env.Source != "" {
		w.ref = env.Ref()
	}
	return nil
}

// evaluate evaluates the files as they are now.
func (w *watcher) evaluate(ctx context.Context) watch.Evaluation {
	e, err := w.again(ctx)
	var wrong *interp.Error
	switch {
	case errors.As(err, &wrong):
		return watch.Evaluation{Inputs: wrong.Inputs, Errors: wrong.Diagnostics, Err: errors.New(strings.TrimRight(wrong.Error(), "\n"))}
	case err != nil:
		return watch.Evaluation{Err: err}
	}
	p, was := e.plan, w.opened.Pipeline
	if p.Pipeline.Name != was.Name || p.Pipeline.Registry != was.Registry || p.Namespace() != w.opened.Namespace() {
		return watch.Evaluation{Inputs: p.Inputs, Err: fmt.Errorf("%s: the name, the namespace or the registry of the pipeline has changed: restart watch mode", p.Pipeline.Pos)}
	}
	if now := w.now.Load(); now != nil {
		w.now.Store(&deployed{e, now.rt, now.key})
	}
	return watch.Evaluation{Plan: p, Inputs: p.Inputs}
}

// again evaluates with the parameters of the environment: all of them for a
// clone or a preview, otherwise those without a default and without a value.
func (w *watcher) again(ctx context.Context) (evaluation, error) {
	params := map[string]string{}
	if w.ref.Source != "" {
		maps.Copy(params, w.params)
		maps.DeleteFunc(params, func(name, _ string) bool { // the file no longer declares it
			return !slices.ContainsFunc(w.opened.Params, func(p plan.Param) bool { return p.Name == name })
		})
	}
	print := w.app.printed(w.view)
	for {
		e, err := w.evaluateFor(ctx, w.ref, params, print)
		var wrong *interp.Error
		if !errors.As(err, &wrong) || len(wrong.Missing) == 0 {
			return e, err
		}
		for _, name := range wrong.Missing {
			value, ok := w.params[name]
			if !ok {
				return e, err
			}
			params[name] = value
		}
		print = nil // already shown
	}
}

// event shows an event, and writes the record of a run when it has ended.
func (w *watcher) event(e runtime.Event) {
	w.view.Event(e)
	if w.logs != nil {
		w.logs.event(e)
	}
	if changed, ok := e.Body.(runtime.WatchChanged); ok {
		w.settled.Store(changed.State == runtime.Settled && len(changed.Services) == 0 && changed.Reason == "")
	}
	ended, ok := e.Body.(runtime.RunEnded)
	if !ok {
		return
	}
	// The next write to standard output returns the same error.
	_ = w.app.stream(w.show.output, ended.Record, func() error { return nil })
	if w.forwards != nil && !ended.Record.Stale {
		w.forwards.set(w.now.Load().plan)
	}
}
