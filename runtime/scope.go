package runtime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// A scope is the set of services of a run: its stages in the order in which they run,
// and its services in the order of the plan.
type scope struct {
	plan     *plan.Plan
	action   Action
	stages   []*stage
	services []*service
}

// A stage holds the services that the run acts on in it.
type stage struct {
	name     string
	index    int // in running order
	services []*service
}

// A service is one service of a run.
type service struct {
	*plan.Service
	stage    *stage
	named    bool   // in the request
	skipped  string // why it is left out; empty if it is acted on
	later    string // why a deploy only builds its image: it is a job that does not run on deploy
	teardown bool   // it is a job that runs now, before other services are stopped or deleted

	// Set by look.
	images      []namedImage    // none if its chart provides its own, or the action needs none
	toMake      int             // how many of these its stage still has to make; the tracker changes it
	podImages   []PodImage      // the images that its chart or its manifests name, if they are mirrored
	unnamed     error           // why these are not known
	fingerprint plan.Digest     // of what would be deployed; empty while its image is not known
	missing     []MissingSecret // the Secrets that it must wait for; settled before it is acted on
	err         error           // why it is known to fail
	adoptions   []Adoption      // in a preview: what its deploy would take over
	idle        bool            // a teardown of services that are stopped or deleted already
	leftAlone   *LeftAlone      // what another run has done to it, so that it is left as it is
	overtaken   bool            // another run of the session acted on it after look: its deployed release is not known
}

// newScope applies the table of SPEC §4: which services an action acts on, in which
// order the stages run, and what happens to skipped services. With names, only
// these services are in the scope, and they are acted on even if they are skipped.
func newScope(p *plan.Plan, req Request) (*scope, error) {
	action, names := req.Action, req.Services
	if err := known(p, names); err != nil {
		return nil, err
	}
	sc := &scope{plan: p, action: action}
	for _, s := range p.Stages {
		sc.stages = append(sc.stages, &stage{name: s.Name})
	}
	if action == Stop || action == Delete {
		slices.Reverse(sc.stages)
	}
	byName := make(map[string]*stage, len(sc.stages))
	for i, st := range sc.stages {
		st.index = i
		byName[st.name] = st
	}
	named := make(map[string]bool, len(names))
	for _, name := range names {
		named[name] = true
	}
	for i := range p.Services {
		s := &service{Service: &p.Services[i]}
		if len(names) > 0 && !named[s.Name] {
			continue
		}
		if s.stage = byName[s.Stage]; s.stage == nil {
			return nil, fmt.Errorf("plan of %s: service %s is in stage %q, which the plan does not have", p.Pipeline.Name, s.Name, s.Stage)
		}
		if s.named = named[s.Name]; !s.named {
			s.skipped = leftOut(s.Service, action)
		}
		for name := range s.AllImages() {
			if req.RollbackTo != "" && req.Images[plan.ImageKey(s.Name, name)] == "" {
				s.skipped = "run " + req.RollbackTo + " did not deploy it"
			}
		}
		if job := s.Workload.Job; job != nil && s.skipped == "" {
			s.teardown = action != Deploy && job.On == plan.Moment(action) && !(s.Skip && !s.named)
			if action == Deploy && job.On != "" && job.On != plan.OnDeploy && !s.named {
				s.later = "runs on " + string(job.On)
			}
		}
		if s.skipped == "" {
			s.stage.services = append(s.stage.services, s)
		}
		sc.services = append(sc.services, s)
	}
	return sc, nil
}

// leftOut returns why an action on the environment leaves s out, or "".
func leftOut(s *plan.Service, action Action) string {
	if s.Skip && action != Delete {
		switch why := s.SkipWhy; {
		case why == nil || why.Text == "":
			return "skipped"
		case why.Pos.IsZero():
			return why.Text
		default:
			return why.Text + " at " + why.Pos.String()
		}
	}
	return ""
}

// toPrepare returns the plan without the services that the run does not deploy, so
// that their secrets are not required. Databases whose credentials other services
// use are kept.
func (sc *scope) toPrepare() *plan.Plan {
	used, secrets := make(map[string]bool), make(map[string]bool)
	for _, st := range sc.stages {
		for _, s := range st.services {
			if !sc.deploys(s) {
				continue
			}
			used[s.Name] = true
			for _, ref := range s.SecretRefs() {
				used[ref.Service], secrets[ref.Name] = true, true
			}
		}
	}
	for _, s := range sc.plan.Services {
		if s.Workload.Database != nil && secrets[plan.CredentialsName(s.Name)] {
			used[s.Name] = true
		}
	}
	p := *sc.plan
	p.Services = nil
	for _, s := range sc.plan.Services {
		if used[s.Name] {
			p.Services = append(p.Services, s)
		}
	}
	return &p
}

// known returns an error that lists the names that are not services of p.
func known(p *plan.Plan, names []string) error {
	var all, wrong []string
	for _, s := range p.Services {
		all = append(all, s.Name)
	}
	for _, name := range names {
		if slices.Contains(all, name) {
			continue
		}
		text := fmt.Sprintf("%q", name)
		if near := misspell.Nearest(name, all); near != "" {
			text += fmt.Sprintf(" (did you mean %q?)", near)
		}
		wrong = append(wrong, text)
	}
	switch {
	case len(wrong) == 0:
		return nil
	case len(all) == 0:
		return fmt.Errorf("pipeline %s has no service %s: it has no services", p.Pipeline.Name, strings.Join(wrong, ", "))
	}
	return fmt.Errorf("pipeline %s has no service %s; it has %s", p.Pipeline.Name, strings.Join(wrong, ", "), some(all, 20))
}

// some joins the first n names.
func some(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}
