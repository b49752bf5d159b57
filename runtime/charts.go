package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pipelinefile/pipe/plan"
)

// pinCharts replaces the charts of git repositories, of services to deploy, by those with
// the commits that their refs name now, also in the plan of the request: the run uses one
// commit, which its record has, so that a rollback deploys it again.
func (r *run) pinCharts(ctx context.Context) error {
	type result struct {
		commit string
		err    error
	}
	type key struct{ git, ref string }
	var (
		services []*service
		wait     sync.WaitGroup
		found    = make(map[key]*result)
	)
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			c := s.Chart
			if c == nil || c.Git == "" || !r.scope.deploys(s) || r.req.RollbackTo != "" && c.Commit != "" {
				continue
			}
			services = append(services, s)
			k := key{c.Git, c.Version}
			if found[k] != nil {
				continue
			}
			res := &result{}
			found[k] = res
			wait.Go(func() { res.commit, res.err = r.commitOf(ctx, k.git, k.ref) })
		}
	}
	if len(services) == 0 {
		return nil
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	pinned := *r.req.Plan
	pinned.Services = slices.Clone(pinned.Services)
	for _, s := range services {
		res := found[key{s.Chart.Git, s.Chart.Version}]
		if res.err != nil {
			s.err = fmt.Errorf("chart %s of %s: %w", s.Chart.Ref, s.Name, Advise(res.err, Advice{
				Do: "check the address and ref= of git(), and that git can read it from here with \"git ls-remote\"",
			}))
			continue
		}
		c := *s.Chart
		c.Commit = res.commit
		of := *s.Service // the plan is the caller's
		of.Chart = &c
		s.Service = &of
		i := slices.IndexFunc(pinned.Services, func(o plan.Service) bool { return o.Name == s.Name })
		pinned.Services[i].Chart = &c
	}
	r.req.Plan = &pinned
	return nil
}

// commitOf returns the commit of a git source: that of the branch of the environment, if
// the repository has it (E3), or else that of ref.
func (r *run) commitOf(ctx context.Context, git, ref string) (string, error) {
	if branch := r.env.Branch; branch != "" && r.req.RollbackTo == "" {
		has, err := r.Builder.HasBranch(ctx, git, branch)
		if err != nil {
			return "", err
		}
		if has {
			ref = "refs/heads/" + branch
		}
	}
	return r.Builder.Commit(ctx, git, ref)
}
