package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// An image is one image that the run needs, however many services use it. One
// of build, mirror and external is set, or none and given.
type image struct {
	given string // it is deployed by this digest, or else by what follows

	build    *plan.BuildSpec // it is built from this
	mirror   string          // it is copied from there into the registry
	external string          // it is deployed from there
	stage    *stage          // the first that needs it
	services []*service      // that use it, in running order

	// What look finds out.
	identity plan.Digest // of build
	ref      string      // the tag under which the image of build is kept
	byDigest string      // what releases name; empty until it is known
	there    bool        // it is in the registry already
	unasked  error       // why its registry did not tell its digest, so that its tag is deployed
	err      error       // why that cannot be said
}

// source returns where the image comes from, to be shown.
func (im *image) source() string {
	switch {
	case im.build != nil:
		return "image of " + im.build.ID
	case im.mirror != "":
		return im.mirror
	}
	return im.external
}

// lookParallelism bounds the requests of look: enough to hide the latency of
// a registry, few enough to be a polite client.
const lookParallelism = 16

// look finds out all that can be found out without changing anything: what is
// deployed, which images there are, what each release would be. Preview shows
// it and Run goes by it, so that they agree. What is wrong with one service or
// image is kept with it; the error is about what concerns all. The preparation
// is run concurrently, and waited for by what depends on the namespace.
func (r *run) look(ctx context.Context, preparation []*sched.Task) error {
	list := &sched.Task{Name: "look at namespace " + r.namespace, Class: -1}
	list.Do = func(ctx context.Context) error {
		all, err := r.Deployer.Deployed(ctx, r.namespace)
		if err != nil {
			return fmt.Errorf("look at what is deployed in namespace %s: %w", r.namespace, err)
		}
		r.deployed, r.others = ownReleases(all, r.req.Environment)
		return nil
	}
	tasks := slices.Concat(preparation, []*sched.Task{list, r.lookForSecrets(preparation)}, r.lookups(preparation, list))
	w := watch(tasks)
	defer w.end()
	if r.track != nil {
		time.AfterFunc(silence, func() { w.tell(r.track) })
	}
	results, err := sched.Run(ctx, tasks, sched.Options{Limits: []int{lookParallelism}})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, res := range results {
		if err == nil {
			err = res.Err // the others would say the same of a cluster that is gone
		}
	}
	r.settleSecrets()
	r.settleOwners()
	return err
}

// settleOwners finds the services that cannot be deployed, as a release of their
// name belongs to somebody else. What another tool has deployed is taken over if
// the request says so.
func (r *run) settleOwners() {
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			d, there := r.others[s.Name]
			if !there || !r.scope.deploys(s) {
				continue
			}
			if r.req.TakeOver && d.Owner == (EnvironmentKey{}) {
				r.deployed[s.Name] = d
				delete(r.others, s.Name)
				continue
			}
			s.err = &OwnedError{Key: r.req.Environment, Kind: "release", Name: s.Name, Owner: d.Owner}
		}
	}
}

// lookups returns the tasks that find the images and, where these are known,
// the fingerprints. These come after the preparation, if there is one: what it
// writes into the namespace, such as the value of a secret, is in them. Those of
// charts that others wrote come after the look at what is deployed: what is deployed
// already need not be rendered to know that it can be.
func (r *run) lookups(preparation []*sched.Task, deployed *sched.Task) []*sched.Task {
	var tasks []*sched.Task
	r.images = r.scope.images(r.given)
	finding := make(map[*image]*sched.Task, len(r.images))
	for _, im := range r.images {
		t := &sched.Task{Name: "look for " + im.source()}
		t.Do = func(ctx context.Context) error {
			im.err = r.find(ctx, im)
			return nil
		}
		finding[im] = t
		tasks = append(tasks, t)
	}
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			if !r.scope.deploys(s) {
				continue
			}
			t := &sched.Task{Name: "fingerprint " + s.Name}
			t.Do = func(ctx context.Context) error {
				s.err = r.fingerprint(ctx, s)
				return nil
			}
			t.After = append(t.After, preparation...)
			if s.Chart != nil {
				t.After = append(t.After, deployed)
			}
			if s.image != nil {
				t.After = append(t.After, finding[s.image])
			}
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// Inputs returns the digest that the record of a run of req would have: of its plan
// and of the identities of the images that this builds (see RunRecord). It changes
// nothing.
func (r *Runtime) Inputs(ctx context.Context, req Request) (plan.Digest, error) {
	req.Action = Deploy
	req.complete()
	x, err := r.open(ctx, req)
	if err != nil {
		return "", err
	}
	x.images = x.scope.images(x.given)
	var tasks []*sched.Task
	for _, im := range x.images {
		if im.build == nil {
			continue
		}
		tasks = append(tasks, &sched.Task{Name: "identify " + im.source(), Do: func(ctx context.Context) error {
			if im.err != nil {
				return im.err
			}
			var err error
			if im.identity, err = r.Builder.Identify(ctx, *im.build); err != nil {
				return fmt.Errorf("identify %s: %w", im.source(), err)
			}
			return nil
		}})
	}
	results, err := sched.Run(ctx, tasks, sched.Options{Limits: []int{lookParallelism}, KeepGoing: true})
	for _, res := range results {
		if err == nil {
			err = res.Err
		}
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", err
	}
	digest, err := x.req.Plan.Digest()
	if err != nil {
		return "", err
	}
	return x.inputs(digest), nil
}

// inputs returns the digest of what the run is about: its plan and the identities
// of the images that this builds. It is empty if one of them is not known.
func (r *run) inputs(planDigest plan.Digest) plan.Digest {
	lines := []string{string(planDigest)}
	for _, im := range r.images {
		if im.build == nil {
			continue
		}
		if im.identity == "" {
			return ""
		}
		lines = append(lines, im.build.ID+" "+string(im.identity))
	}
	slices.Sort(lines[1:])
	return plan.DigestOf([]byte(strings.Join(lines, "\n")))
}

// find finds out whether the registry has im.
func (r *run) find(ctx context.Context, im *image) (err error) {
	if im.err != nil {
		return im.err
	}
	if im.given != "" && im.external != "" {
		im.byDigest, im.there = im.given, true
		return nil
	}
	if im.given != "" {
		_, err := r.Registry.Resolve(ctx, im.given)
		switch {
		case err == nil:
			im.byDigest, im.there = im.given, true
			r.recognize(ctx, im)
			return nil
		case !errors.Is(err, ErrNotFound):
			return fmt.Errorf("look for image %s: %w", im.given, err)
		case r.req.Images[im.services[0].Name] != "":
			return fmt.Errorf("image %s: %w: the registry does not keep it any more", im.given, ErrNotFound)
		}
	}
	switch {
	case im.build != nil:
		if im.identity, err = r.Builder.Identify(ctx, *im.build); err != nil {
			return fmt.Errorf("identify %s: %w", im.source(), err)
		}
		im.ref = r.Registry.Ref(im.build.ID, im.identity)
		digest, err := r.Registry.Resolve(ctx, im.ref)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("look for %s in the registry: %w", im.source(), err)
		}
		im.byDigest, im.there = ByDigest(im.ref, digest), true
	case im.mirror != "":
		if im.byDigest, im.there, err = r.Registry.Mirrored(ctx, im.mirror); err != nil {
			return fmt.Errorf("look for image %s: %w", im.mirror, err)
		}
	default:
		return r.findExternal(ctx, im)
	}
	return nil
}

// recognize finds out whether a given image is still the one that its source would
// give, so that a run of a session which deploys it is about the files as they are.
// Otherwise the identity stays unknown: files were copied into its containers.
func (r *run) recognize(ctx context.Context, im *image) {
	if r.Turn == nil || im.build == nil {
		return
	}
	identity, err := r.Builder.Identify(ctx, *im.build)
	if err != nil {
		return
	}
	ref := r.Registry.Ref(im.build.ID, identity)
	if digest, err := r.Registry.Resolve(ctx, ref); err == nil && ByDigest(ref, digest) == im.given {
		im.identity, im.ref = identity, ref
	}
}

// askTime is how long a registry that only the cluster may be able to reach is asked.
const askTime = 10 * time.Second

// findExternal finds the digest of an image that is deployed from where it is. A
// registry that pipe cannot reach, or may not read, need not be one that the cluster
// cannot: the tag is deployed then. By digest no registry is asked.
func (r *run) findExternal(ctx context.Context, im *image) error {
	im.byDigest, im.there = im.external, true
	if strings.Contains(im.external, "@") {
		return nil
	}
	limited, stop := context.WithTimeoutCause(ctx, askTime, &CommonError{fmt.Sprintf("its registry does not answer within %s", askTime), ErrUnreachable})
	defer stop()
	digest, err := r.Registry.Resolve(limited, im.external)
	switch {
	case err == nil:
		im.byDigest = ByDigest(im.external, digest)
	case ctx.Err() == nil && (errors.Is(err, ErrNoAccess) || errors.Is(err, ErrUnreachable)):
		im.unasked = err
	default:
		return fmt.Errorf("look for image %s: %w", im.external, err)
	}
	return nil
}

// tagged returns, by service, warnings of tags that are deployed as nobody could be
// asked for their digests: one for each cause, at the first service.
func (r *run) tagged() map[string][]plan.Diagnostic {
	type cause struct {
		first    *service
		text     string
		services []string
	}
	var causes []*cause
	for _, im := range r.images {
		if im.unasked == nil {
			continue
		}
		text := im.unasked.Error()
		var common *CommonError
		if errors.As(im.unasked, &common) {
			text = common.Text
		}
		i := slices.IndexFunc(causes, func(c *cause) bool { return c.text == text })
		if i < 0 {
			i = len(causes)
			causes = append(causes, &cause{first: im.services[0], text: text})
		}
		for _, s := range im.services {
			causes[i].services = append(causes[i].services, s.Name)
		}
	}
	out := make(map[string][]plan.Diagnostic)
	for _, c := range causes {
		what := "is deployed by its tag, which may move without notice"
		if len(c.services) > 1 {
			what = "are deployed by their tags, which may move without notice"
		}
		out[c.first.Name] = append(out[c.first.Name], plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: c.first.Pos, Message: fmt.Sprintf("%s %s: %s", some(c.services, 5), what, c.text),
			Hint: "name the image by its digest, or let pipe reach its registry",
		})
	}
	return out
}

// fingerprint sets the fingerprint of what would be deployed of s, unless its
// image is not known yet.
func (r *run) fingerprint(ctx context.Context, s *service) (err error) {
	if s.image != nil {
		if s.image.err != nil {
			return s.image.err
		}
		if s.image.byDigest == "" {
			return nil
		}
	}
	if s.fingerprint, err = r.Deployer.Fingerprint(ctx, r.release(s)); err != nil {
		return fmt.Errorf("render %s: %w", s.Name, err)
	}
	return nil
}

// unchanged reports whether s is deployed as it would be now (A7); if not, why
// says what is to be done.
func (r *run) unchanged(s *service) (same bool, why string) {
	d, deployed := r.deployed[s.Name]
	s.leftAlone = nil
	if s.overtaken {
		return false, "changed while it was deployed"
	}
	if r.Turn != nil {
		if s.leftAlone = r.Turn.foreign(r, s); s.leftAlone != nil {
			return true, s.leftAlone.String()
		}
	}
	switch {
	case len(s.missing) > 0:
		return false, "waits for " + missingText(s.missing)
	case !deployed:
		return false, "not deployed yet"
	case d.Fingerprint == "":
		return false, "deployed by another tool"
	case d.Fingerprint != s.fingerprint:
		return false, "changed"
	case !d.Ready:
		return false, "the last deploy did not become ready"
	case r.req.Force:
		return false, "forced"
	}
	return true, "deployed as it is"
}

// given returns the image that s is deployed with whatever its source is now: the
// request says so, or s is a job whose image was made when the rest was deployed.
func (r *run) given(s *service) string {
	if ref := r.req.Images[s.Name]; ref != "" || !s.guard {
		return ref
	}
	return r.env.Images[s.Name]
}

// deploys reports whether the run deploys s, or makes it ready to be deployed.
func (sc *scope) deploys(s *service) bool { return sc.action == Deploy || s.guard }

// images returns the images that the scope needs, in running order, and sets
// them on the services.
func (sc *scope) images(given func(*service) string) []*image {
	type key struct {
		plan.ImageSource
		given string
	}
	var images []*image
	found := make(map[key]*image)
	for _, st := range sc.stages {
		for _, s := range st.services {
			if s.Image == (plan.ImageSource{}) || !sc.deploys(s) {
				continue
			}
			k := key{s.Image, given(s)}
			im := found[k]
			if im == nil {
				im = &image{given: k.given, mirror: s.Image.Mirror, external: s.Image.Ref, stage: st}
				if id := s.Image.Build; id != "" {
					if im.build = sc.plan.Build(id); im.build == nil {
						im.err = fmt.Errorf("the plan has no build %q", id)
					}
				}
				found[k] = im
				images = append(images, im)
			}
			s.image = im
			im.services = append(im.services, s)
		}
	}
	return images
}
