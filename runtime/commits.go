package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pipelinefile/pipe/plan"
)

// A gitRef is a branch, a tag or a commit of a git repository.
type gitRef struct{ git, ref string }

// A namedCommit is the commit that a gitRef names, or why that is unknown.
type namedCommit struct {
	hash string
	err  error
}

// pin finds the commits of the git sources of the services to deploy: of their charts, and of
// the images that may have to be built. They become part of the plan, also of that of the
// request: all services of the run use the same commit of a branch, the record has it, and a
// rollback deploys it again.
func (r *run) pin(ctx context.Context) error {
	charts, builds := r.toPin()
	if len(charts)+len(builds) == 0 {
		return nil
	}
	r.commits = make(map[gitRef]*namedCommit)
	for _, s := range charts {
		r.commits[gitRef{s.Chart.Git, s.Chart.Version}] = &namedCommit{}
	}
	for _, b := range builds {
		r.commits[gitRef{b.Source.Git, b.Source.Ref}] = &namedCommit{}
	}
	r.ask(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The plans are the caller's.
	pinned, acted := *r.req.Plan, *r.scope.plan
	pinned.Services, pinned.Builds, acted.Builds = slices.Clone(pinned.Services), slices.Clone(pinned.Builds), slices.Clone(acted.Builds)
	for _, s := range charts {
		found := r.commits[gitRef{s.Chart.Git, s.Chart.Version}]
		if found.err != nil {
			s.err = fmt.Errorf("chart %s of %s: %w", s.Chart.Ref, s.Name, AdviseGit(found.err))
			continue
		}
		c := *s.Chart
		c.Commit = found.hash
		of := *s.Service
		of.Chart = &c
		s.Service = &of
		i := slices.IndexFunc(pinned.Services, func(o plan.Service) bool { return o.Name == s.Name })
		pinned.Services[i].Chart = &c
	}
	for _, b := range builds {
		// The commit is empty if it was not found: see identify.
		hash := r.commits[gitRef{b.Source.Git, b.Source.Ref}].hash
		for _, p := range []*plan.Plan{&pinned, &acted} {
			if of := p.Build(b.ID); of != nil {
				of.Source.Commit = hash
			}
		}
	}
	r.req.Plan, r.scope.plan = &pinned, &acted
	return nil
}

// toPin returns the services whose charts, and the builds whose sources, are in git
// repositories. A rollback keeps the commits that its plan has. An image that is given is not
// built, except if it is lost.
func (r *run) toPin() (charts []*service, builds []*plan.BuildSpec) {
	keep := func(commit string) bool { return r.req.RollbackTo != "" && commit != "" }
	needed := make(map[string]bool)
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			if !r.scope.deploys(s) {
				continue
			}
			if c := s.Chart; c != nil && c.Git != "" && !keep(c.Commit) {
				charts = append(charts, s)
			}
			for name, from := range s.AllImages() {
				if r.given(s, name) == "" {
					needed[from.Build] = true
				}
			}
		}
	}
	all := r.scope.plan.Builds
	for i := range slices.Backward(all) { // bases come before
		b := &all[i]
		if !needed[b.ID] {
			continue
		}
		for _, from := range b.ImageArgs {
			needed[from.Build] = true
		}
		if b.Source.Git != "" && !keep(b.Source.Commit) {
			builds = append(builds, b)
		}
	}
	return charts, builds
}

// AdviseGit returns an error about a source or a chart in a git repository with what to do
// about it.
func AdviseGit(err error) error {
	return Advise(err, Advice{
		Do: "check the address and ref= of git(), and that git can read it from here with \"git ls-remote\"",
	})
}

// ask sets the commits of r.commits: those of the branch of the environment in the
// repositories that have it (E3), and those of the refs in the others. Each deploy asks again,
// because a repository may get the branch later.
func (r *run) ask(ctx context.Context) {
	branch := r.env.Branch
	if r.req.RollbackTo != "" {
		branch = ""
	}
	of := make(map[string][]gitRef) // by repository
	for ref := range r.commits {
		of[ref.git] = append(of[ref.git], ref)
	}
	var wait sync.WaitGroup
	for git, refs := range of {
		wait.Go(func() {
			has, err := false, error(nil)
			if branch != "" {
				has, err = r.Builder.HasBranch(ctx, git, branch)
			}
			for _, ref := range refs {
				c, name := r.commits[ref], ref.ref
				if has {
					name = "refs/heads/" + branch // not a tag of that name
				}
				if c.err = err; err == nil {
					wait.Go(func() { c.hash, c.err = r.Builder.Commit(ctx, git, name) })
				}
			}
		})
	}
	wait.Wait()
}
