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
	"github.com/pipelinefile/pipe/runtime/watch"
)

// A settled is the result of wait.
type settled struct {
	Pipeline    string                  `json:"pipeline,omitempty"` // unless the file has errors
	Environment string                  `json:"environment"`
	Inputs      plan.Digest             `json:"inputs,omitempty"` // digest of the inputs of the result; see docs/events.md
	Run         string                  `json:"run,omitempty"`    // ID of the run with this result
	Done        bool                    `json:"done"`             // all services match the plan
	Error       string                  `json:"error,omitempty"`  // why not
	Errors      []plan.Diagnostic       `json:"errors,omitempty"` // of the file, which has no plan then
	Services    []runtime.ServiceRecord `json:"services,omitempty"`
}

// lookEvery is how often wait polls the cluster.
const lookEvery = time.Second

// idleAfter is the time after which wait reports that no run seems to be
// coming.
const idleAfter = 10 * time.Second

func (a *app) waitCmd() *cobra.Command {
	var (
		env     envFlags
		eval    evalFlags
		part    partFlags
		show    showFlags
		fresh   bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "wait ENV",
		Short: "Wait until an environment has settled",
		Long: `wait returns when no run is in progress in an environment, with the status of the last one: 0 if
it succeeded, 1 if not.

With --fresh it evaluates the nearest Pipelinefile and waits for a result that is at least
as new as the files: the newest run was for exactly these files, and failed or
deployed all services, or a run would find nothing to do. Services that a partial run or
watch mode left alone must match the files, too. An older run does not count, so a
script never takes an old success for a new one. -o json has the digest of the inputs
that the result is about, or the errors of the Pipelinefile.`,
		Example: `  pipe wait dev
  pipe wait dev --fresh
  pipe wait dev --fresh --timeout 2m -o json | jq -r .inputs`,
		Args: takes("ENV"),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer a.hide()
			if _, err := a.progress(cmd, show); err != nil {
				return err
			}
			ctx, stop := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("%w after %s", runtime.ErrTimeout, timeout))
			defer stop()
			var result settled
			var err error
			if fresh {
				eval.env, eval.namespaceFlag = args[0], env.namespaceFlag
				result, err = (&invocation{app: a, cmd: cmd, eval: eval, part: part}).waitFresh(ctx)
			} else {
				result, err = a.waitSettled(ctx, cmd, args[0], env, part)
			}
			a.hide()
			if err != nil {
				if ctx.Err() != nil { // regardless of the library's error
					err = context.Cause(ctx)
				}
				return a.writeMistakes(show.output, args[0], err)
			}
			if err := a.write(show.output, result, func() error { return ui.Settled(a.stdout, result.Environment, result.Error, result.Services) }); err != nil {
				return err
			}
			if !result.Done {
				return errNotDone
			}
			return nil
		},
	}
	env.add(cmd)
	eval.addParams(cmd)
	part.add(cmd)
	show.add(cmd)
	cmd.Flags().BoolVar(&fresh, "fresh", false, "wait for a result that is at least as new as the files are now, e.g. pipe wait dev --fresh")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this `time`, e.g. --timeout 2m")
	cmd.ValidArgsFunction = a.completeEnvironments(&part, 1)
	return cmd
}

// errNotDone means that the environment settled in another state than planned,
// which was reported already.
var errNotDone = errors.New("the environment does not match its plan")

// writeMistakes writes the result for a file that has errors, which a reader of JSON or YAML
// gets as any other result, and returns err.
func (a *app) writeMistakes(format, environment string, err error) error {
	var wrong *interp.Error
	if !errors.As(err, &wrong) {
		return err
	}
	result := settled{Environment: environment, Error: "the Pipelinefile has errors", Errors: wrong.Diagnostics}
	if failed := a.write(format, result, func() error { return nil }); failed != nil {
		return failed
	}
	return err
}

// waitSettled waits until no run is in progress.
func (a *app) waitSettled(ctx context.Context, cmd *cobra.Command, name string, env envFlags, part partFlags) (settled, error) {
	op, err := a.openEnvironment(ctx, cmd, name, targetFlags{env, part})
	if err != nil {
		return settled{}, err
	}
	cluster, e := op.cluster, op.env
	for {
		holder, err := cluster.Locker.Holder(ctx, e.Key)
		if err != nil {
			return settled{}, cluster.Explain(err)
		}
		if holder == nil {
			break
		}
		locked := &runtime.LockedError{Key: e.Key, Holder: *holder}
		a.current().Doing(locked.Error())
		if err := pause(ctx, lookEvery); err != nil {
			return settled{}, fmt.Errorf("%w: %w", err, locked)
		}
	}
	runs, err := cluster.Store.Runs(ctx, e.Key)
	if err != nil {
		return settled{}, cluster.Explain(err)
	}
	result := settled{Pipeline: e.Key.Pipeline, Environment: e.Key.Name}
	for _, r := range runs {
		if !r.End.IsZero() && !r.Stale {
			result.take(r)
			return result, nil
		}
	}
	result.Error = "no run of it has ended"
	return result, nil
}

// take makes the outcome of a run the result.
func (s *settled) take(r runtime.RunRecord) {
	s.Inputs, s.Run, s.Error, s.Services = r.Inputs, r.ID, r.Error, r.Services
	s.Done = r.Error == ""
}

// waitFresh waits for a result for the current files, even if they change
// meanwhile.
func (v *invocation) waitFresh(ctx context.Context) (settled, error) {
	file, ok := v.nearest()
	if !ok {
		return settled{}, usagef(v.cmd, "--fresh requires a Pipelinefile in this directory or a parent")
	}
	v.file = file
	root, err := interp.Workspace(file)
	if err != nil {
		return settled{}, err
	}
	files, err := watch.OpenFiles(root, watch.FileOptions{})
	if err != nil {
		return settled{}, err
	}
	defer func() { _ = files.Close() }() // opened for reading only
	for {
		result, again, err := v.waitFor(ctx, files)
		if err != nil || !again {
			return result, err
		}
	}
}

// waitFor waits for a result for the files as they are now; again reports that
// they changed before there was one.
func (v *invocation) waitFor(ctx context.Context, files *watch.Files) (result settled, again bool, err error) {
	v.current().Doing("evaluating " + v.file)
	e, err := v.evaluateRecorded(ctx, nil)
	if err != nil {
		return settled{}, false, err // an invalid file is a result, and a fresh one
	}
	if err := files.Set(e.plan.Inputs, e.plan.Builds); err != nil {
		return settled{}, false, err
	}
	rt, err := v.openParts(ctx, v.cmd, v.part, e, true)
	if err != nil {
		return settled{}, false, err
	}
	defer v.closeParts(rt)
	if e, _, err = v.evaluateAgain(ctx, rt, e); err != nil {
		return settled{}, false, err
	}
	key := runtime.KeyOf(e.plan)
	req := runtime.Request{Action: runtime.Deploy, Environment: key, Plan: e.plan}
	inputs, err := rt.Inputs(ctx, req)
	if err != nil {
		return settled{}, false, err
	}
	result = settled{Pipeline: key.Pipeline, Environment: key.Name, Inputs: inputs}
	v.current().Doing("waiting for a result about these files")
	idle := time.Now()
	for {
		busy, found, err := about(ctx, &rt.Runtime, req, &result)
		if err != nil || found {
			return result, false, err
		}
		if busy {
			idle = time.Now()
		} else if time.Since(idle) > idleAfter {
			idle = time.Now()
			v.note(fmt.Sprintf("no run is in progress in %s, and it does not match these files; deploy them with \"pipe run --env %s\"", key.Namespace(), key.Name))
		}
		select {
		case <-files.Changes():
			return settled{}, true, nil
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return settled{}, false, context.Cause(ctx)
		}
	}
}

// about looks for a result for the inputs of a request when no run is in
// progress: the newest run, if it was for them and failed, or all services
// match the inputs. An older run does not count: the newest may have changed
// its results. Busy reports that a run is in progress.
func about(ctx context.Context, rt *runtime.Runtime, req runtime.Request, result *settled) (busy, found bool, err error) {
	holder, err := rt.Locker.Holder(ctx, req.Environment)
	if err != nil || holder != nil {
		return holder != nil, false, err
	}
	runs, err := rt.Store.Runs(ctx, req.Environment)
	if err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return false, false, err
	}
	var newest *runtime.RunRecord // if it was for the inputs
	if len(runs) > 0 && isAbout(runs[0], result.Inputs) {
		newest = &runs[0]
	}
	if newest == nil || newest.Error == "" {
		asSaid, err := upToDate(ctx, rt, req, newest)
		if err != nil || !asSaid {
			return false, false, err
		}
		result.Done = true
	}
	if newest != nil {
		result.take(*newest)
	}
	return false, true, nil
}

// isAbout reports whether a run was a deploy of these inputs that has ended and
// counts. Runs of other actions have no inputs.
func isAbout(r runtime.RunRecord, inputs plan.Digest) bool {
	return r.Inputs == inputs && !r.End.IsZero() && !r.Stale
}

// upToDate reports whether all services match the plan of a request: the newest
// run, if any, deployed them so, or a run would find nothing to do. Therefore a
// partial run, one that left some services alone, and one before which others
// were skipped, each count for the services they deployed.
func upToDate(ctx context.Context, rt *runtime.Runtime, req runtime.Request, newest *runtime.RunRecord) (bool, error) {
	deployed := make(map[string]bool)
	if newest != nil {
		for _, s := range newest.Services {
			deployed[s.Service] = s.LeftAlone == nil && (s.State == runtime.Done || s.State == runtime.Unchanged)
		}
	}
	open := func(s plan.Service) bool { return !deployed[s.Name] }
	if !slices.ContainsFunc(req.Plan.Services, open) {
		return true, nil
	}
	steps, err := rt.Preview(ctx, req)
	var failed *runtime.RunError // of a future run; the steps are complete
	if err != nil && !errors.As(err, &failed) {
		return false, err
	}
	return !slices.ContainsFunc(steps, func(s runtime.Step) bool {
		return !deployed[s.Service] && s.Do != runtime.Unchanged && s.Do != runtime.Skipped
	}), nil
}

// pause waits, unless ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
