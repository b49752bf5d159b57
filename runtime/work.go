package runtime

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// verb is the state of a service while an action is in progress.
var verb = map[Action]State{
	Deploy:  Deploying,
	Stop:    Stopping,
	Restart: Restarting,
	Delete:  Deleting,
	Start:   Starting,
}

// release returns the release of s to deploy, as far as it is known.
func (r *run) release(s *service) Release {
	release := Release{
		Pipeline:    r.req.Environment.Pipeline,
		Environment: r.req.Environment.Name,
		Namespace:   r.namespaceOf(s.Service),
		Home:        r.namespace,
		Service:     *s.Service,
		Fingerprint: s.fingerprint,
		OnFailure:   r.req.OnFailure,
		Adopt:       r.adopts(s),
	}
	for _, im := range s.images {
		switch {
		case im.byDigest == "":
		case im.in == nil:
			release.setImage(im.name, im.byDigest)
		case release.Mirrored == nil:
			release.Mirrored = map[string]string{im.name: im.byDigest}
		default:
			release.Mirrored[im.name] = im.byDigest
		}
	}
	return release
}

// makeImage builds or copies an image. The services of the stage in which it is
// made show its progress, the first of them with all steps, and fail if it fails.
// Services of later stages do not change their state before their stage runs.
func (r *run) makeImage(ctx context.Context, im *image) error {
	var users []*service
	for _, s := range im.services {
		if s.stage == im.stage {
			users = append(users, s)
		}
	}
	err := im.err
	if err == nil {
		do := func(ctx context.Context) error {
			for _, s := range users {
				r.track.making(s, im)
			}
			emit, stop := r.track.emit(users[0])
			defer stop()
			defer r.ahead.making(im.stage)()
			return catchPanic(im.source(), func() error { return r.makeBy(ctx, im, emit) })
		}
		if r.Turn != nil {
			err = r.Turn.making(ctx, r, im, do)
		} else {
			err = do(ctx)
		}
	}
	if err == nil { // an older run of the session, with other rules, may have made it
		err = r.verify(ctx, im)
	}
	found := (*FindingsError)(nil)
	stops := func(s *service) bool { return err != nil && !(errors.As(err, &found) && r.passes(s)) }
	if err != nil {
		r.failed(err)
	}
	for _, s := range users {
		switch {
		case err == nil:
			r.track.made(s)
		case stops(s):
			state, reason, kept := ending(ctx, &ImagesError{[]ImageFailure{s.imageFailure(im, err)}})
			r.track.end(s, state, reason, kept)
		}
	}
	return err
}

// makeBy makes an image that is not in the registry, and scans it (I14).
func (r *run) makeBy(ctx context.Context, im *image, emit Emit) error {
	if !im.there {
		if err := r.makeMissing(ctx, im, emit); err != nil {
			return err
		}
	}
	return r.scan(ctx, im, emit)
}

func (r *run) makeMissing(ctx context.Context, im *image, emit Emit) error {
	if im.build == nil {
		ref, _, err := r.Registry.Mirror(ctx, im.mirror, emit)
		if err != nil {
			return fmt.Errorf("copy image %s: %w", im.mirror, err)
		}
		im.byDigest = ref
		return r.verify(ctx, im) // the tag may have moved since it was looked up
	}
	digest, err := r.build(ctx, im, emit)
	if err != nil {
		return fmt.Errorf("build %s: %w", im.source(), err)
	}
	im.byDigest = ByDigest(im.ref, digest)
	return r.verify(ctx, im)
}

// act carries out the action on one service, and records the result.
func (r *run) act(ctx context.Context, s *service) error {
	var state State
	var reason string
	name := string(r.req.Action) + " " + s.Name
	do := func(ctx context.Context) (state State, reason string, err error) {
		err = catchPanic(name, func() error {
			state, reason, err = r.try(ctx, s)
			return err
		})
		return state, reason, err
	}
	err := catchPanic(name, func() error { return r.settle(ctx, s) })
	switch {
	case err != nil:
	case r.Turn != nil && s.later == "":
		state, reason, err = r.Turn.actOn(ctx, r, s, do)
	default:
		state, reason, err = do(ctx)
	}
	var kept error
	if err != nil {
		state, reason, kept = ending(ctx, err)
		defer r.failed(err) // after the failure is recorded
	}
	r.track.end(s, state, reason, kept)
	return err
}

// catchPanic calls a driver. A panic is returned as an error of the service that
// the work is for; other services are not affected.
func catchPanic(name string, work func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &sched.PanicError{Task: name, Value: v, Stack: debug.Stack()}
		}
	}()
	return work()
}

// settle determines what is not yet known before s is acted on: its
// fingerprint, if its image or its Secrets were made during this run.
func (r *run) settle(ctx context.Context, s *service) error {
	if s.err != nil && !s.idle {
		return s.err
	}
	if s.fingerprint != "" || !r.scope.deploys(s) || s.idle {
		return nil
	}
	if s.MirrorImages {
		if err := r.nameAgain(ctx, s); err != nil {
			return err
		}
	}
	return r.fingerprint(ctx, s)
}

func (r *run) try(ctx context.Context, s *service) (state State, reason string, err error) {
	release := r.release(s)
	r.track.images(s, release)
	if s.later != "" {
		return Skipped, s.later, nil
	}
	nothing, why := r.todo(s)
	if nothing {
		return Unchanged, why, nil
	}
	if err := r.gate(s); err != nil {
		return "", "", err
	}
	r.track.set(s, verb[r.req.Action], why)
	emit, stop := r.track.emit(s)
	defer stop()
	if s.MirrorImages {
		release.Mirror = r.mirrorLate(s, release, why, emit)
	}
	for _, action := range r.operations(s) {
		if err := r.Deployer.Act(ctx, action, release, emit); err != nil {
			return "", "", fmt.Errorf("%s %s: %w", r.req.Action, s.Name, err)
		}
	}
	return Done, why, nil
}

// operations returns the actions on the release of s, in order: a job that runs on an
// action is deployed, and on a delete it is deleted as well.
func (r *run) operations(s *service) []Action {
	switch runs := s.teardown && !s.idle; {
	case runs && r.req.Action == Delete:
		return []Action{Deploy, Delete}
	case runs:
		return []Action{Deploy}
	case s.teardown && r.req.Action != Delete:
		return nil
	}
	return []Action{r.req.Action}
}

// theirs reports whether a release with the name of s has another owner.
func (r *run) theirs(s *service) bool {
	_, there := r.others[s.Name]
	return there
}

// todo reports whether the action has nothing to do for s, and the reason.
func (r *run) todo(s *service) (nothing bool, why string) {
	d, deployed := r.deployed[s.Name]
	switch {
	case r.req.Action == Deploy:
		return r.unchanged(s)
	case s.teardown && !s.idle:
		return false, "runs on " + string(r.req.Action)
	case s.teardown && r.req.Action == Stop:
		return true, "the services that stop after it are already stopped"
	case r.req.Action != Delete && !deployed:
		return true, "not deployed"
	case r.theirs(s):
		return true, "the release with its name has another owner"
	case r.req.Action == Stop && d.Stopped:
		return true, "already stopped"
	case r.req.Action == Start && d.Ready:
		return true, "not stopped"
	}
	return false, ""
}
