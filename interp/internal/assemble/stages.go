package assemble

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// A stage is a declared stage with its edits.
type stage struct {
	*builtins.Stage
	index   int    // in the order of declaration
	name    string // the current name
	renamed *builtins.Edit
	removed *builtins.Edit
	edits   int // number of the session's Edits up to and including the last one of this stage
}

func (s *stage) plan() plan.Stage {
	p := s.Plan
	p.Name = s.name
	return p
}

// where returns the position that gave the stage its name.
func (s *stage) where() plan.Pos {
	if s.renamed != nil {
		return s.renamed.Pos
	}
	return s.Plan.Pos
}

// stages are all stages of a file, and the rules for types (SPEC §3).
type stages struct {
	session *builtins.Session
	all     []*stage          // in declaration order
	running []*stage          // not removed, in running order
	byName  map[string]*stage // those in running
	byValue map[*builtins.Stage]*stage
	rules   map[plan.ServiceType]*rule

	// Indices of all, so that lookups by name need not scan all stages.
	named    map[string][]int // not removed, by current name, ascending
	gone     map[string]int   // the last one that was removed under a name
	before   map[string]int   // the first one that was declared with a name and has been renamed
	unknowns int              // references to stages that do not exist
}

type rule struct {
	builtins.Rule
	stage *stage
}

func newStages(session *builtins.Session) *stages {
	if len(session.Stages) == 0 {
		n := len(session.Rules)
		session.AddDefaultStages(plan.Pos{}) // S2
		for i := range session.Rules[n:] {
			session.Rules[n+i].After = 0 // they apply from the start
		}
	}
	st := &stages{
		session: session, byName: map[string]*stage{}, byValue: map[*builtins.Stage]*stage{}, rules: map[plan.ServiceType]*rule{},
		named: map[string][]int{}, gone: map[string]int{}, before: map[string]int{},
	}
	for i, d := range session.Stages {
		s := &stage{Stage: d, name: d.Plan.Name, index: i}
		st.named[s.name] = append(st.named[s.name], i)
		st.all = append(st.all, s)
		st.byValue[d] = s
	}
	st.edit()
	for _, s := range st.all {
		if s.removed == nil {
			st.running = append(st.running, s)
		}
	}
	st.unique()
	slices.SortStableFunc(st.running, compareStages)
	st.resolveRules()
	return st
}

// edit applies the renames and removals of stages, in the order of the calls.
func (st *stages) edit() {
	for i := range st.session.Edits {
		ed := &st.session.Edits[i]
		verb := "remove_stage"
		if ed.Name != "" {
			verb = "rename_stage"
		}
		s := st.find(ed.Stage)
		if s == nil || s.removed != nil {
			st.unknown(verb, ed.Stage, s, ed.Pos, ed.Stack)
			continue
		}
		st.forget(s)
		if ed.Name == "" {
			s.removed = ed
			if last, is := st.gone[s.name]; !is || last < s.index {
				st.gone[s.name] = s.index
			}
		} else {
			if first, is := st.before[s.Plan.Name]; !is || first > s.index {
				st.before[s.Plan.Name] = s.index
			}
			s.name, s.renamed = ed.Name, ed
			at, _ := slices.BinarySearch(st.named[s.name], s.index)
			st.named[s.name] = slices.Insert(st.named[s.name], at, s.index)
		}
		s.edits = i + 1
	}
}

// find returns the stage that ref names, even if it was removed. By name, stages that are
// not removed take precedence.
func (st *stages) find(ref builtins.StageRef) *stage {
	if ref.Stage != nil {
		return st.byValue[ref.Stage]
	}
	if list := st.named[ref.Name]; len(list) > 0 {
		return st.all[list[0]]
	}
	if i, ok := st.gone[ref.Name]; ok {
		return st.all[i]
	}
	return nil
}

// forget removes a stage from the index by name.
func (st *stages) forget(s *stage) {
	list := st.named[s.name]
	if at, ok := slices.BinarySearch(list, s.index); ok {
		st.named[s.name] = slices.Delete(list, at, at+1)
	}
}

// former returns a stage that was declared with that name and has been renamed since.
func (st *stages) former(name string) *stage {
	if i, ok := st.before[name]; ok {
		return st.all[i]
	}
	return nil
}

// unknown reports that ref names a stage that does not exist or was removed.
func (st *stages) unknown(what string, ref builtins.StageRef, s *stage, pos plan.Pos, stack []plan.Frame) {
	d := plan.Diagnostic{Severity: plan.SeverityError, Pos: pos, Stack: stack}
	if s != nil {
		d.Message = fmt.Sprintf("%s: the stage %q is removed", what, s.name)
		d.Related = []plan.Related{{Pos: s.removed.Pos, Message: "removed here"}}
		st.session.Report(d)
		return
	}
	d.Message = fmt.Sprintf("%s: there is no stage %q", what, ref.Name)
	if s := st.former(ref.Name); s != nil {
		d.Hint = fmt.Sprintf("it is now %q", s.name)
		d.Related = []plan.Related{{Pos: s.renamed.Pos, Message: "renamed here"}}
	}
	if st.unknowns++; d.Hint == "" && st.unknowns <= misspell.MaxErrors {
		var names []string
		for _, s := range st.all {
			if s.removed == nil {
				names = append(names, s.name)
			}
		}
		other := "there are no stages"
		if len(names) > 0 {
			other = "there are " + quoted(names)
		}
		d.Hint, d.Suggest = other, misspell.Nearest(ref.Name, names)
	}
	st.session.Report(d)
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strconv.Quote(n)
	}
	return strings.Join(out, ", ")
}

// unique reports stages with the same name or the same order (S5).
func (st *stages) unique() {
	orders := map[int]*stage{}
	for _, s := range st.running {
		if first := st.byName[s.name]; first != nil {
			st.session.Report(plan.Diagnostic{
				Severity: plan.SeverityError, Pos: s.where(), Message: fmt.Sprintf("there is a stage %q already", s.name),
				Related: related(first.where(), "named here"),
			})
			continue
		}
		st.byName[s.name] = s
		if first := orders[s.Plan.Order]; first != nil {
			st.session.Report(plan.Diagnostic{
				Severity: plan.SeverityError, Pos: s.Plan.Pos,
				Message: fmt.Sprintf("the stages %q and %q have one order, %d", first.name, s.name, s.Plan.Order),
				Hint:    "give one of them another order=", Related: related(first.Plan.Pos, "declared here"),
			})
			continue
		}
		orders[s.Plan.Order] = s
	}
}

func related(pos plan.Pos, msg string) []plan.Related {
	if pos.IsZero() {
		return nil
	}
	return []plan.Related{{Pos: pos, Message: msg}}
}

// resolveRules finds the rule of each type. A rule applies unless its stage is renamed or
// removed after it (S4). default_stage() takes precedence over default_stages().
func (st *stages) resolveRules() {
	given := map[plan.ServiceType]builtins.Rule{}
	for _, r := range st.session.Rules {
		if first, ok := given[r.Type]; ok && r.Given {
			st.session.Report(plan.Diagnostic{
				Severity: plan.SeverityError, Pos: r.Pos, Stack: r.Stack, Message: fmt.Sprintf("default_stage: %s has a rule already", r.Type),
				Related: related(first.Pos, "given here"),
			})
			continue
		}
		s := st.find(r.Stage)
		if s == nil {
			s = st.former(r.Stage.Name)
		}
		if s == nil && r.Stage.Stage != nil {
			continue // its declaration had an error, which was reported
		}
		if s == nil || s.removed != nil && s.edits <= r.After {
			st.unknown("default_stage", r.Stage, s, r.Pos, r.Stack)
			continue
		}
		if r.Given {
			given[r.Type] = r
		} else if _, ok := given[r.Type]; ok {
			continue
		}
		if s.edits > r.After {
			delete(st.rules, r.Type)
			continue
		}
		st.rules[r.Type] = &rule{r, s}
	}
}

// place assigns each service to its stage (S3, S4), and returns the services in stage
// order, then in declaration order.
func (st *stages) place(services []*builtins.Service) []*builtins.Service {
	members := map[*stage][]*builtins.Service{}
	for _, svc := range services {
		s, why := st.stageOf(svc)
		if s == nil {
			continue
		}
		svc.Plan.Stage, svc.Plan.Placed = s.name, why
		members[s] = append(members[s], svc)
	}
	ordered := make([]*builtins.Service, 0, len(services))
	for _, s := range st.running {
		ordered = append(ordered, members[s]...)
	}
	return ordered
}

func (st *stages) stageOf(svc *builtins.Service) (*stage, plan.Placement) {
	if !svc.Stage.IsZero() {
		s := st.byName[svc.Stage.Name]
		if svc.Stage.Stage != nil || s == nil {
			s = st.find(svc.Stage)
		}
		if s == nil && svc.Stage.Stage != nil {
			return nil, plan.Placement{} // its declaration had an error, which was reported
		}
		if s == nil || s.removed != nil {
			st.unknown("service "+svc.Plan.Name, svc.Stage, s, svc.StagePos, svc.Stack)
			return nil, plan.Placement{}
		}
		return s, plan.Placement{By: plan.ByStage, Pos: svc.StagePos}
	}
	if r := st.rules[svc.Plan.Type]; r != nil {
		return r.stage, plan.Placement{By: plan.ByRule, Pos: r.Pos}
	}
	if len(st.running) == 0 {
		st.session.Report(plan.Diagnostic{
			Severity: plan.SeverityError, Pos: svc.Plan.Pos, Stack: svc.Stack,
			Message: fmt.Sprintf("service %s: no stage is left for it", svc.Plan.Name), Hint: "all stages are removed",
		})
		return nil, plan.Placement{}
	}
	return st.running[len(st.running)-1], plan.Placement{By: plan.ByLatest}
}
