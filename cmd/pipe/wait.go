package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// A settled is what wait found: the outcome that it is about.
type settled struct {
	Pipeline    string                  `json:"pipeline"`
	Environment string                  `json:"environment"`
	Inputs      plan.Digest             `json:"inputs,omitempty"` // of the files that it is about; see docs/events.md
	Run         string                  `json:"run,omitempty"`    // ID of the run that gave the outcome
	Done        bool                    `json:"done"`             // all services are as the plan says
	Error       string                  `json:"error,omitempty"`  // why not
	Services    []runtime.ServiceRecord `json:"services,omitempty"`
}

// lookEvery is how often wait asks the cluster.
const lookEvery = time.Second

// idleAfter is when wait says that nobody seems to deploy.
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
		Long: `wait returns when no run goes on in an environment, with the status of the last one: 0 if
it did all that it was to do, 1 if not.

With --fresh it evaluates the Pipelinefile at hand and waits for a result that is at least
as new as the files are now: a run of watch mode, or of somebody's "pipe run", that was
about exactly these files, or an environment in which nothing is left to do for them. So a
script never takes an old success for a new one. -o json has the digest of the inputs
that the result is about.`,
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
				eval.env = args[0]
				result, err = a.waitFresh(ctx, cmd, eval, part)
			} else {
				result, err = a.waitSettled(ctx, cmd, args[0], env, part)
			}
			a.hide()
			if err != nil {
				if ctx.Err() != nil { // whatever a library says of it
					err = context.Cause(ctx)
				}
				return err
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

// errNotDone is the error of what has settled otherwise than it should; it was told.
var errNotDone = errors.New("the environment is not as its plan says")

// waitSettled waits until no run goes on.
func (a *app) waitSettled(ctx context.Context, cmd *cobra.Command, name string, env envFlags, part partFlags) (settled, error) {
	look, err := a.openLook(ctx, cmd, part)
	if err != nil {
		return settled{}, err
	}
	e, err := a.environment(cmd, look, name, env)
	if err != nil {
		return settled{}, err
	}
	for {
		holder, err := look.Locker.Holder(ctx, e.Key)
		if err != nil {
			return settled{}, look.Explain(err)
		}
		if holder == nil {
			break
		}
		a.current().Doing(holder.Error())
		if err := pause(ctx, lookEvery); err != nil {
			return settled{}, fmt.Errorf("%w: %w", err, holder)
		}
	}
	runs, err := look.Store.Runs(ctx, e.Key)
	if err != nil {
		return settled{}, look.Explain(err)
	}
	result := settled{Pipeline: e.Key.Pipeline, Environment: e.Key.Name}
	for _, r := range runs {
		if !r.End.IsZero() {
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

// waitFresh waits for a result about the files as they are, also if they change
// meanwhile.
func (a *app) waitFresh(ctx context.Context, cmd *cobra.Command, eval evalFlags, part partFlags) (settled, error) {
	file, ok := a.nearest()
	if !ok {
		return settled{}, usagef(cmd, "--fresh is about the Pipelinefile here or in a folder above, and there is none")
	}
	root, err := interp.Workspace(file)
	if err != nil {
		return settled{}, err
	}
	files, err := watch.OpenFiles(root, watch.FileOptions{})
	if err != nil {
		return settled{}, err
	}
	defer func() { _ = files.Close() }() // nothing was written
	for {
		result, again, err := a.waitFor(ctx, cmd, file, eval, part, files)
		if err != nil || !again {
			return result, err
		}
	}
}

// waitFor waits for a result about the files as they are now; again says that they
// have changed before there was one.
func (a *app) waitFor(ctx context.Context, cmd *cobra.Command, file string, eval evalFlags, part partFlags, files *watch.Files) (result settled, again bool, err error) {
	a.current().Doing("evaluating " + file)
	e, err := a.evaluateRecorded(ctx, cmd, file, eval, part, nil)
	if err != nil {
		return settled{}, false, err // a wrong file is a result, and a new one
	}
	if err := files.Set(e.plan.Inputs, e.plan.Builds); err != nil {
		return settled{}, false, err
	}
	rt, err := a.openParts(ctx, cmd, part, e, true)
	if err != nil {
		return settled{}, false, err
	}
	defer a.closeParts(rt)
	if e, err = a.evaluateAgain(ctx, cmd, rt, file, eval, e); err != nil {
		return settled{}, false, err
	}
	key := runtime.EnvironmentKey{Pipeline: e.plan.Pipeline.Name, Name: eval.env}
	req := runtime.Request{Action: runtime.Deploy, Environment: key, Plan: e.plan}
	inputs, err := rt.Inputs(ctx, req)
	if err != nil {
		return settled{}, false, err
	}
	result = settled{Pipeline: key.Pipeline, Environment: key.Name, Inputs: inputs}
	a.current().Doing("waiting for a result about these files")
	idle := time.Now()
	for {
		busy, found, err := a.about(ctx, rt, req, &result)
		if err != nil || found {
			return result, false, err
		}
		if busy {
			idle = time.Now()
		} else if time.Since(idle) > idleAfter {
			idle = time.Now()
			a.note(fmt.Sprintf("no run goes on in %s, and none was about these files: \"pipe run --env %s\" or watch mode would deploy them", key.Namespace(), key.Name))
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

// about looks for a result about the inputs of a request: a run that was about
// them, or that nothing is left to do. Busy says that a run goes on.
func (a *app) about(ctx context.Context, rt *local.Runtime, req runtime.Request, result *settled) (busy, found bool, err error) {
	holder, err := rt.Locker.Holder(ctx, req.Environment)
	if err != nil {
		return false, false, err
	}
	runs, err := rt.Store.Runs(ctx, req.Environment)
	if err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return false, false, err
	}
	for _, r := range runs { // the newest first
		if r.Action == runtime.Deploy && r.Inputs == result.Inputs && !r.End.IsZero() && !r.Stale {
			result.take(r)
			return holder != nil, true, nil
		}
	}
	if holder != nil {
		return true, false, nil
	}
	steps, err := rt.Preview(ctx, req)
	var failed *runtime.RunError
	if err != nil {
		if errors.As(err, &failed) {
			return false, false, nil // the run that will fail has still to be made
		}
		return false, false, err
	}
	for _, s := range steps {
		if s.Do != runtime.Unchanged && s.Do != runtime.Skipped {
			return false, false, nil
		}
	}
	result.Done = true
	return false, true, nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
