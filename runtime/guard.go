package runtime

import "slices"

// A job with on="stop" or on="delete" guards what is in its stage and in those
// before: it runs to its end before anything of that is stopped or deleted.

// settleGuards finds the jobs that have nothing to guard, as it is stopped or
// deleted already: they do not run. With that a stop that was interrupted is
// ended by the next one, and one of what is stopped does nothing.
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

// guards reports whether there is something that the run is going to do to a
// service that g guards.
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

// guardsFirst returns the services of a stage, those first that guard the others.
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
