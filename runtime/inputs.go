package runtime

import (
	"context"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// Inputs returns the digest that the record of a run of req would have: that of its
// plan and of the identities of the images that it builds (see RunRecord). It changes
// nothing.
func (r *Runtime) Inputs(ctx context.Context, req Request) (plan.Digest, error) {
	x, err := r.identified(ctx, req)
	if err != nil {
		return "", err
	}
	digest, err := x.req.Plan.Digest()
	if err != nil {
		return "", err
	}
	return x.inputs(digest), nil
}

// BuildSpecs returns the specifications of the images that a run of req would build for a
// service, with the identities of their bases, by the name of the image; that of its own
// image is empty. It changes nothing.
func (r *Runtime) BuildSpecs(ctx context.Context, req Request, service string) (map[string]plan.BuildSpec, error) {
	req.Services = []string{service}
	x, err := r.identified(ctx, req)
	if err != nil {
		return nil, err
	}
	specs := make(map[string]plan.BuildSpec)
	for _, s := range x.scope.services {
		if s.Name != service {
			continue
		}
		for _, im := range s.images {
			if im.build != nil {
				specs[im.name] = im.spec()
			}
		}
	}
	return specs, nil
}

// identified returns a run of req that has identified the images which it builds.
func (r *Runtime) identified(ctx context.Context, req Request) (*run, error) {
	req.Action = Deploy
	req, err := r.complete(ctx, req)
	if err != nil {
		return nil, err
	}
	x, err := r.open(ctx, req)
	if err != nil {
		return nil, err
	}
	x.images = x.scope.images(x.given).list
	var tasks []*sched.Task
	bases := make(map[*image]bool)
	for _, im := range x.images {
		for _, base := range im.bases {
			bases[base] = true
		}
	}
	finding := make(map[*image]*sched.Task)
	for _, im := range x.images {
		if im.build == nil && !bases[im] {
			continue
		}
		t := &sched.Task{Name: "identify " + im.source(), Do: func(ctx context.Context) error {
			switch {
			case im.err != nil:
			case im.build == nil:
				im.err = x.find(ctx, im)
			default:
				im.identity, im.err = x.identify(ctx, im)
			}
			return im.err
		}}
		for _, base := range im.bases {
			t.Needs = append(t.Needs, finding[base])
		}
		if im.builder != nil {
			t.Needs = append(t.Needs, finding[im.builder])
		}
		finding[im] = t
		tasks = append(tasks, t)
	}
	err = firstError(sched.Run(ctx, tasks, sched.Options{Limits: []int{lookParallelism}, KeepGoing: true}))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return x, err
}

// inputs returns the digest of the run's inputs: its plan and the identities
// of the images that it builds. It is empty if one of them is unknown.
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
