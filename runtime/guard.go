package runtime

import "slices"

// A job with on="stop" or on="delete" guards the services of its stage and of earlier
// stages: it runs to completion before any of them is stopped or deleted.

// settleGuards marks guard jobs as idle if the services that they guard are already
// stopped or deleted: such jobs do not run. So the next stop completes one that was
// interrupted, and a stop of a stopped environment does nothing.
func (r *run) settleGuards() {
	for _, st := range r.scope.stages {
		for _, g := range st.services {
			g.idle = g.guard && !g.named && !r.guards(g)
		}
	}
	for _, im := range r.images {
		im.there = im.there || !slices.ContainsFunc(im.services, func(s *service) bool { return !s.idle })
	}
}

// guards reports whether the run has something to do for a service that g guards.
func (r *run) guards(g *service) bool {
	for _, st := range r.scope.stages[g.stage.index:] {
		for _, s := range st.services {
			if d, deployed := r.deployed[s.Name]; !s.guard && deployed && !(r.req.Action == Stop && d.Stopped) {
				return true
			}
		}
	}
	return false
}

// guardsFirst returns the services of a stage, with the guards first.
func (st *stage) guardsFirst() []*service {
	var guards, others []*service
	for _, s := range st.services {
		if s.guard {
			guards = append(guards, s)
		} else {
			others = append(others, s)
		}
	}
	return append(guards, others...)
}
