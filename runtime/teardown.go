package runtime

import "slices"

// A job with on="stop" or on="delete" is a teardown of the services of its stage and of earlier
// stages: it runs to completion before any of them is stopped or deleted.

// settleTeardowns marks teardowns as idle if their services are already stopped or deleted:
// they do not run. So the next stop completes one that was interrupted, and a stop of a
// stopped environment does nothing.
func (r *run) settleTeardowns() {
	for _, st := range r.scope.stages {
		for _, t := range st.services {
			t.idle = t.teardown && !t.named && !r.tearsDown(t)
		}
	}
	for _, im := range r.images {
		im.there = im.there || !slices.ContainsFunc(im.services, func(s *service) bool { return !s.idle })
	}
}

// tearsDown reports whether the run has something to do for a service that comes after the
// teardown t.
func (r *run) tearsDown(t *service) bool {
	for _, st := range r.scope.stages[t.stage.index:] {
		for _, s := range st.services {
			if d, deployed := r.deployed[s.Name]; !s.teardown && deployed && !(r.req.Action == Stop && d.Stopped) {
				return true
			}
		}
	}
	return false
}

// teardownsFirst returns the services of a stage, with the teardowns first.
func (st *stage) teardownsFirst() []*service {
	var teardowns, others []*service
	for _, s := range st.services {
		if s.teardown {
			teardowns = append(teardowns, s)
		} else {
			others = append(others, s)
		}
	}
	return append(teardowns, others...)
}
