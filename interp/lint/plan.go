package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// Plan returns the findings for a plan. They do not include source lines.
func Plan(p *plan.Plan) []Finding {
	l := &planLinter{plan: p, order: map[string]int{}}
	for i, s := range p.Stages {
		l.order[s.Name] = i
	}
	for i := range p.Services {
		l.image(&p.Services[i])
		l.chart(&p.Services[i])
		l.hosts(&p.Services[i])
	}
	for _, w := range p.Warnings {
		l.warning(w)
	}
	for _, w := range p.Absent(nil) {
		l.warning(w)
	}
	l.stages()
	l.signatures()
	Sort(l.found)
	return l.found
}

type planLinter struct {
	plan  *plan.Plan
	order map[string]int // of stages, by name
	found []Finding
}

// service adds a finding about a service. If a function declares the service, the call is related.
func (l *planLinter) service(rule string, s *plan.Service, message, hint string, related ...plan.Related) {
	l.of(rule, s, s.Pos, message, hint, related...)
}

// of is service for a finding at another position.
func (l *planLinter) of(rule string, s *plan.Service, at plan.Pos, message, hint string, related ...plan.Related) {
	if !s.Caller.IsZero() && s.Caller != at {
		related = append(related, plan.Related{Pos: s.Caller, Message: "called here"})
	}
	l.add(rule, at, message, hint, related...)
}

func (l *planLinter) add(rule string, at plan.Pos, message, hint string, related ...plan.Related) {
	l.found = append(l.found, Finding{Rule: rule, Pos: at, Message: message, Hint: hint, Related: related})
}

func (l *planLinter) image(s *plan.Service) {
	for name, from := range s.AllImages() {
		l.latest(s, plan.ImageKey(s.Name, name), from.Mirror+from.Ref)
	}
}

func (l *planLinter) latest(s *plan.Service, of, ref string) {
	if ref == "" || strings.Contains(ref, "@") {
		return
	}
	name := ref[strings.LastIndex(ref, "/")+1:]
	_, tag, tagged := strings.Cut(name, ":")
	switch {
	case !tagged:
		l.service("latest-tag", s, fmt.Sprintf("the image of %s, %s, has no tag", of, ref), "name a version, such as "+ref+":1.2.3")
	case tag == "latest":
		l.service("latest-tag", s, fmt.Sprintf("the image of %s is %s", of, ref), "name a version instead of latest")
	}
}

func (l *planLinter) chart(s *plan.Service) {
	c := s.Chart
	if c == nil || c.InWorkspace() {
		return
	}
	if c.Git != "" && c.Version == "HEAD" {
		l.of("unpinned-chart", s, c.Pos, fmt.Sprintf("the chart %s of %s has no ref", c.Ref, s.Name), "give ref= of git(): a tag or a commit")
		return
	}
	if c.Version != "" {
		return
	}
	if name := c.Ref[strings.LastIndex(c.Ref, "/")+1:]; c.Repo == "" && strings.ContainsAny(name, ":@") {
		return
	}
	l.of("unpinned-chart", s, c.Pos, fmt.Sprintf("the chart %s of %s has no version", c.Ref, s.Name), "give version=")
}

// hosts checks the hosts of other services that a service uses.
func (l *planLinter) hosts(s *plan.Service) {
	if j := s.Workload.Job; j != nil && j.Schedule != "" {
		return // such a service runs later, when everything is deployed
	}
	for _, name := range s.Uses {
		other := l.plan.Service(name)
		if other == nil || l.order[other.Stage] <= l.order[s.Stage] {
			continue
		}
		l.service("host-later", s, fmt.Sprintf("%s uses the host of %s, which is in a later stage, %q", s.Name, name, other.Stage),
			fmt.Sprintf("at the first deploy %s does not answer; move one of them", name),
			plan.Related{Pos: other.Pos, Message: "declared here"})
	}
}

// warning adds a warning of the plan, if it belongs to a rule.
func (l *planLinter) warning(w plan.Diagnostic) {
	if w.Rule != "" {
		if len(w.Stack) > 0 && w.Stack[0].Pos != w.Pos {
			w.Related = append(slices.Clone(w.Related), plan.Related{Pos: w.Stack[0].Pos, Message: "called here"})
		}
		l.found = append(l.found, Finding{Rule: w.Rule, Pos: w.Pos, Message: w.Message, Line: w.Line, Hint: w.Hint, Related: w.Related})
	}
}

// stages finds stages that need not wait for the previous one.
func (l *planLinter) stages() {
	members := map[string][]*plan.Service{}
	for i := range l.plan.Services {
		s := &l.plan.Services[i]
		members[s.Stage] = append(members[s.Stage], s)
	}
	for i := 1; i < len(l.plan.Stages); i++ {
		before, this := l.plan.Stages[i-1], l.plan.Stages[i]
		// The language defines the order of the four default stages.
		if before.Pos.IsZero() || this.Pos.IsZero() || before.Pos == this.Pos || len(members[before.Name]) == 0 || len(members[this.Name]) == 0 {
			continue
		}
		if waits(members[before.Name], members[this.Name]) {
			continue
		}
		l.add("share-stage", this.Pos, fmt.Sprintf("no service of stage %q uses one of stage %q before it", this.Name, before.Name),
			"in one stage they are deployed at the same time", plan.Related{Pos: before.Pos, Message: "the stage before"})
	}
}

// takesImage reports whether s has an image that is built for one of the named services.
func takesImage(s *plan.Service, named map[string]bool) bool {
	for _, from := range s.AllImages() {
		if named[plan.BuiltFor(from.Build)] {
			return true
		}
	}
	return false
}

// waits reports whether a service of a stage may need one of the previous
// stage: it uses one, or the previous stage has databases or jobs, on which
// others may depend without a reference.
func waits(before, this []*plan.Service) bool {
	named := map[string]bool{}
	for _, s := range before {
		if s.Type == plan.Database || s.Type == plan.Job {
			return true
		}
		named[s.Name] = true
	}
	for _, s := range this {
		if s.Type == plan.Job || takesImage(s, named) || !s.Generated() || slices.ContainsFunc(s.Uses, func(u string) bool { return named[u] }) {
			return true // a chart or a manifest may refer to anything
		}
		for _, env := range s.Workload.Env {
			if named[env.Value] {
				return true
			}
		}
		for _, ref := range s.SecretRefs() {
			if named[ref.Service] {
				return true
			}
		}
	}
	return false
}
