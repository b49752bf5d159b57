package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// lookParallelism is the maximum number of concurrent requests of look: enough to hide
// the latency of a registry, few enough to be a polite client.
const lookParallelism = 16

// look determines the current state without changing anything: what is
// deployed, which images exist, what each release would be. Preview shows
// the result and Run acts on it, so that they agree. An error of one service or
// image is stored with it; look returns errors that concern all. The preparation
// runs concurrently; lookups that depend on the namespace wait for it.
func (r *run) look(ctx context.Context, preparation []*sched.Task) error {
	lists := r.lists()
	tasks := slices.Concat(preparation, lists, []*sched.Task{r.lookForSecrets(preparation)}, r.lookups(preparation, lists[len(lists)-1]))
	err := r.lookUp(ctx, tasks)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.settleSecrets()
	r.settleOwners()
	if named := r.lookupsOfNamed(); err == nil && len(named) > 0 {
		if err = r.lookUp(ctx, named); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	r.settleBases()
	r.foreseeUnsigned()
	r.foreseeFindings()
	return err
}

// lookUp runs lookups.
func (r *run) lookUp(ctx context.Context, tasks []*sched.Task) error {
	w := watch(tasks)
	defer w.end()
	if r.track != nil {
		time.AfterFunc(silence, func() { w.report(r.track) })
	}
	return firstError(sched.Run(ctx, tasks, sched.Options{Limits: []int{lookParallelism}}))
}

// firstError returns the error of a schedule, or else the first one of its tasks: if the
// cluster is gone, the others report the same.
func firstError(results []sched.Result, err error) error {
	for _, res := range results {
		err = cmp.Or(err, res.Err)
	}
	return err
}

// settleOwners finds the services that cannot be deployed because a release with their
// name has another owner. Releases of other tools are taken over if the service or the
// request says so.
func (r *run) settleOwners() {
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			d, there := r.others[s.Name]
			if !there || !r.scope.deploys(s) {
				continue
			}
			if r.adopts(s) && d.Owner == (EnvironmentKey{}) {
				r.deployed[s.Name] = d
				delete(r.others, s.Name)
				continue
			}
			owned := &OwnedError{Key: r.req.Environment, Kind: "release", Name: s.Name, Owner: d.Owner}
			if namespace := r.namespaceOf(s.Service); namespace != r.namespace {
				owned.Key, owned.Service = owned.Key.At(namespace), s.Name
			}
			s.err = owned
		}
	}
}

// lookups returns the tasks that look up the images and, for known images,
// the fingerprints. Fingerprints come after the preparation, if there is one, because
// they include what it writes into the namespace, such as the values of secrets. Those of
// charts named by chart= come after the lookup of what is deployed: a chart that is
// already deployed need not be rendered to check that it can be. So do all of an action that
// does not deploy, because a release may be in another namespace than its plan says.
func (r *run) lookups(preparation []*sched.Task, deployed *sched.Task) []*sched.Task {
	var tasks []*sched.Task
	r.set = r.scope.images(r.given)
	r.images = r.set.list
	finding := make(map[*image]*sched.Task, len(r.images))
	signer := r.findSigner()
	if signer != nil {
		tasks = append(tasks, signer)
	}
	for _, im := range r.images {
		t := r.finding(im)
		if signer != nil && im.build != nil {
			t.After = append(t.After, signer)
		}
		for _, base := range im.bases { // they come before it
			t.After = append(t.After, finding[base])
		}
		if im.builder != nil {
			t.After = append(t.After, finding[im.builder])
		}
		finding[im] = t
		tasks = append(tasks, t)
	}
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			if !r.scope.deploys(s) {
				continue
			}
			t := r.fingerprinting(s)
			if s.MirrorImages {
				t = r.naming(s)
			}
			t.After = append(t.After, preparation...)
			if s.Chart != nil || s.MirrorImages || r.req.Action != Deploy {
				t.After = append(t.After, deployed)
			}
			for _, im := range s.images {
				t.After = append(t.After, finding[im.image])
			}
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// fingerprinting returns the task that determines the fingerprint of s.
func (r *run) fingerprinting(s *service) *sched.Task {
	return &sched.Task{Name: "fingerprint " + s.Name, Do: func(ctx context.Context) error {
		s.err = r.fingerprint(ctx, s)
		return nil
	}}
}

// finding returns the task that finds out whether the registry has im.
func (r *run) finding(im *image) *sched.Task {
	return &sched.Task{Name: "look for " + im.source(), Do: func(ctx context.Context) error {
		if im.err = r.find(ctx, im); im.err == nil {
			im.err = r.verify(ctx, im)
		}
		if im.err == nil {
			im.err = r.findReport(ctx, im)
		}
		return nil
	}}
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
		case slices.Contains(slices.Collect(maps.Values(r.req.Images)), im.given):
			return fmt.Errorf("image %s: %w: the registry no longer has it", im.given, ErrNotFound)
		}
	}
	switch {
	case im.build != nil && r.signerErr != nil:
		return r.signerErr
	case im.build != nil:
		if im.identity, err = r.identify(ctx, im); err != nil {
			return err
		}
		im.ref = r.Registry.Ref(im.build.ID, im.identity)
		digest, err := r.resolveBuilt(ctx, im)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("look for %s in the registry: %w", im.source(), err)
		}
		im.byDigest, im.there = ByDigest(im.ref, digest), true
	case im.builder != nil:
		return r.findNamed(ctx, im)
	case im.mirror != "":
		if im.byDigest, im.there, err = r.Registry.Mirrored(ctx, im.mirror); err != nil {
			return fmt.Errorf("look for image %s: %w", im.mirror, err)
		}
	default:
		return r.findExternal(ctx, im)
	}
	return nil
}

// recognize checks whether a given image is still the one that its source would
// produce, so that a run of a session which deploys it matches the current files.
// Otherwise the identity stays unknown: files were copied into its containers.
func (r *run) recognize(ctx context.Context, im *image) {
	if r.Turn == nil || im.build == nil {
		return
	}
	identity, err := r.identify(ctx, im)
	if err != nil {
		return
	}
	ref := r.Registry.Ref(im.build.ID, identity)
	if digest, err := r.Registry.Resolve(ctx, ref); err == nil && ByDigest(ref, digest) == im.given {
		im.identity, im.ref = identity, ref
	}
}

// askTime is the timeout for a registry that only the cluster may be able to reach.
const askTime = 10 * time.Second

// findExternal looks up the digest of an image that is deployed without being copied. If
// pipe cannot reach or read its registry, the cluster may be able to: the tag is deployed
// then. For a reference by digest no registry is contacted.
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

// tagged returns, by service, warnings about tags that are deployed because their digests
// could not be looked up: one for each cause, at the first service.
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
		text := causeOf(im.unasked, im.unasked.Error())
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

// fingerprint sets the fingerprint of the release of s, unless some of its images or
// Secrets are not known yet.
func (r *run) fingerprint(ctx context.Context, s *service) (err error) {
	if s.err != nil {
		return s.err // its chart was not found
	}
	if err := s.imageError(); err != nil || s.imageUnknown() || len(s.missing) > 0 {
		return err
	}
	if s.fingerprint, err = r.Deployer.Fingerprint(ctx, r.release(s)); err != nil {
		return fmt.Errorf("render %s: %w", s.Name, err)
	}
	return nil
}

// unchanged reports whether the deployed release of s equals the one to deploy (A7). If
// not, why is the reason.
func (r *run) unchanged(s *service) (same bool, why string) {
	s.leftAlone = nil
	if s.overtaken {
		return false, "changed while it was deployed"
	}
	if r.Turn != nil {
		if s.leftAlone = r.Turn.foreign(r, s); s.leftAlone != nil {
			return true, s.leftAlone.String()
		}
	}
	return r.equals(s)
}

// equals is unchanged without what other runs of a session have done. It changes nothing.
func (r *run) equals(s *service) (same bool, why string) {
	d, deployed := r.deployed[s.Name]
	if s.overtaken {
		return false, "changed while it was deployed"
	}
	switch {
	case len(s.missing) > 0:
		return false, "waits for " + missingText(s.missing)
	case !deployed:
		return false, r.absentWhy(s)
	case d.Fingerprint == "" && d.Owner == (EnvironmentKey{}) && r.adopts(s):
		return false, fmt.Sprintf("takes over the release of another tool, revision %d", d.Revision)
	case d.Fingerprint == "":
		return false, "deployed by another tool"
	case d.Fingerprint != s.fingerprint:
		return false, "changed"
	case !d.Ready:
		return false, "the last deploy did not become ready"
	case r.req.Force:
		return false, "forced"
	}
	return true, "already deployed"
}

// deploys reports whether the run deploys s, or prepares its deploy.
func (sc *scope) deploys(s *service) bool { return sc.action == Deploy || s.teardown }
