package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// An Adoption is an existing object that a deploy makes part of a release (E8).
type Adoption struct {
	ObjectKind string `json:"object_kind"`
	Namespace  string `json:"namespace,omitempty"` // empty: the object is in none
	Name       string `json:"name"`
	From       string `json:"from"` // whose it is, such as "release mastodon"
	// Diff is how the cluster would change the object, as lines that begin with "-", "+" or
	// " ", and "@@" between hunks. The values of Secrets and what only says whose an object
	// is are not in it. Empty: nothing else changes.
	Diff     string `json:"diff,omitempty"`
	Restarts bool   `json:"restarts,omitempty"` // the change replaces its pods
}

// String describes the adoption in one line.
func (a Adoption) String() string {
	text := fmt.Sprintf("takes over %s %s of %s", strings.ToLower(a.ObjectKind), a.Name, a.From)
	switch {
	case a.Restarts:
		return text + ", changes it, and replaces its pods"
	case a.Diff != "":
		return text + " and changes it"
	}
	return text + " as it is"
}

func (a Adoption) redacted(hide func(string) string) Adoption {
	a.From, a.Diff = hide(a.From), hide(a.Diff)
	return a
}

// adopts reports whether the deploy of s takes over what exists.
func (r *run) adopts(s *service) bool { return s.Adopt || r.req.Adopt }

// adoptions sets what the services of a preview would take over, as the cluster says. What
// it would refuse is an error of the service.
func (r *run) adoptions(ctx context.Context) error {
	if r.req.Action != Deploy {
		return nil
	}
	var tasks []*sched.Task
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			if !r.adopts(s) || s.err != nil || s.later != "" || r.sameAsDeployed(s) {
				continue
			}
			release, known := r.provisional(s)
			if !known {
				continue
			}
			tasks = append(tasks, &sched.Task{Name: "check " + s.Name, Do: func(ctx context.Context) error {
				checked, err := r.Deployer.Check(ctx, release, func(Body) {})
				s.adoptions = checked.Adopted
				// Whether another service makes what is missing, the run finds out.
				err = withoutAwaited(err, func(ObjectRef) bool { return true })
				var refused *RefusedError
				if errors.As(err, &refused) {
					s.err, err = fmt.Errorf("check %s: %w", s.Name, err), nil
				}
				return err
			}})
		}
	}
	return firstError(sched.Run(ctx, tasks, sched.Options{Limits: []int{lookParallelism}}))
}

// provisional returns the release of s before its images are built: with those that are
// deployed, or if there are none with references that will not exist, as a check does not
// depend on them; or, if what exists is taken over, with their future tags.
func (r *run) provisional(s *service) (release Release, known bool) {
	release, known = r.release(s), true
	for _, im := range s.images {
		if im.byDigest != "" {
			continue
		}
		ref := r.env.Images[plan.ImageKey(s.Name, im.name)]
		switch {
		case r.adopts(s):
			ref = cmp.Or(im.ref, ref)
		case ref == "" && im.identity != "":
			ref = ByDigest(im.ref, im.identity)
		}
		release.setImage(im.name, ref)
		known = known && ref != ""
	}
	return release, known
}

// showAdoptions reports what s takes over, before anything is written.
func (r *run) showAdoptions(s *service, all []Adoption) {
	emit, stop := r.track.emit(s)
	defer stop()
	for _, a := range all {
		emit(Adopts(a))
	}
}
