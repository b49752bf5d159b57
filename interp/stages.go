package interp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A stage is a declared stage with what became of it.
type stage struct {
	*builtins.Stage
	index   int    // in the order of declaration
	name    string // now
	renamed *builtins.Edit
	removed *builtins.Edit
	edits   int // of the session's Edits, how many there were with the last one of this stage
}

func (s *stage) plan() plan.Stage {
	p := s.Plan
	p.Name = s.name
	return p
}

// where returns where the stage got its name.
func (s *stage) where() plan.Pos {
	if s.renamed != nil {
		return s.renamed.Pos
	}
	return s.Plan.Pos
}

// stages are all stages of a file, and the rules for types (SPEC §3).
type stages struct {
	session *builtins.Session
	all     []*stage          // as declared
	running []*stage          // not removed, in running order
	byName  map[string]*stage // running ones
	byValue map[*builtins.Stage]*stage
	rules   map[plan.ServiceType]*rule

	// Indices of all, so that no name is looked for among all stages.
	named    map[string][]int // not removed, by the name that they have, ascending
	gone     map[string]int   // the last that was removed under a name
	before   map[string]int   // the first that was declared with a name and is renamed
	unknowns int              // references to stages that there are not
}

type rule struct {
	builtins.Rule
	stage *stage
}

func newStages(s *builtins.Session) *stages {
	if len(s.Stages) == 0 {
		n := len(s.Rules)
		s.AddDefaultStages(plan.Pos{}) // S2
		for i := range s.Rules[n:] {
			s.Rules[n+i].After = 0 // they have been there from the start
		}
	}
	st := &stages{
		session: s, byName: map[string]*stage{}, byValue: map[*builtins.Stage]*stage{}, rules: map[plan.ServiceType]*rule{},
		named: map[string][]int{}, gone: map[string]int{}, before: map[string]int{},
	}
	for i, d := range s.Stages {
		in := &stage{Stage: d, name: d.Plan.Name, index: i}
		st.named[in.name] = append(st.named[in.name], i)
		st.all = append(st.all, in)
		st.byValue[d] = in
	}
	st.edit()
	for _, in := range st.all {
		if in.removed == nil {
			st.running = append(st.running, in)
		}
	}
	st.unique()
	slices.SortStableFunc(st.running, compareStages)
	st.resolveRules()
	return st
}

// edit renames and removes stages, in the order of the calls.
func (st *stages) edit() {
	for i := range st.session.Edits {
		ed := &st.session.Edits[i]
		verb := "remove_stage"
		if ed.Name != "" {
			verb = "rename_stage"
		}
		in := st.find(ed.Stage)
		if in == nil || in.removed != nil {
			st.unknown(verb, ed.Stage, in, ed.Pos, ed.Stack)
			continue
		}
		st.forget(in)
		if ed.Name == "" {
			in.removed = ed
			if last, is := st.gone[in.name]; !is || last < in.index {
				st.gone[in.name] = in.index
			}
		} else {
			if first, is := st.before[in.Plan.Name]; !is || first > in.index {
				st.before[in.Plan.Name] = in.index
			}
			in.name, in.renamed = ed.Name, ed
			at, _ := slices.BinarySearch(st.named[in.name], in.index)
			st.named[in.name] = slices.Insert(st.named[in.name], at, in.index)
		}
		in.edits = i + 1
	}
}

// find returns the stage that ref names, also a removed one; by name first one
// that is not removed.
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

// forget takes a stage out of those that are found by its name.
func (st *stages) forget(in *stage) {
	list := st.named[in.name]
	if at, ok := slices.BinarySearch(list, in.index); ok {
		st.named[in.name] = slices.Delete(list, at, at+1)
	}
}

// former returns a stage that was declared with that name and renamed since.
func (st *stages) former(name string) *stage {
	if i, ok := st.before[name]; ok {
		return st.all[i]
	}
	return nil
}

// unknown reports that ref names no stage, or a removed one.
func (st *stages) unknown(what string, ref builtins.StageRef, in *stage, pos plan.Pos, stack []plan.Frame) {
	d := plan.Diagnostic{Severity: plan.SeverityError, Pos: pos, Stack: stack}
	if in != nil {
		d.Message = fmt.Sprintf("%s: the stage %q is removed", what, in.name)
		d.Related = []plan.Related{{Pos: in.removed.Pos, Message: "removed here"}}
		st.session.Report(d)
		return
	}
	d.Message = fmt.Sprintf("%s: there is no stage %q", what, ref.Name)
	if in := st.former(ref.Name); in != nil {
		d.Hint = fmt.Sprintf("it is now %q", in.name)
		d.Related = []plan.Related{{Pos: in.renamed.Pos, Message: "renamed here"}}
	}
	if st.unknowns++; d.Hint == "" && st.unknowns <= maxSuggestions {
		var names []string
		for _, in := range st.all {
			if in.removed == nil {
				names = append(names, in.name)
			}
		}
		other := "there are no stages"
		if len(names) > 0 {
			other = "there are " + quoted(names)
		}
		d.Hint, d.Suggest = other, explain.Nearest(ref.Name, names)
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

// unique reports stages of one name or of one order (S5).
func (st *stages) unique() {
	orders := map[int]*stage{}
	for _, in := range st.running {
		if first := st.byName[in.name]; first != nil {
			st.session.Report(plan.Diagnostic{
				Severity: plan.SeverityError, Pos: in.where(), Message: fmt.Sprintf("there is a stage %q already", in.name),
				Related: related(first.where(), "named here"),
			})
			continue
		}
		st.byName[in.name] = in
		if first := orders[in.Plan.Order]; first != nil {
			st.session.Report(plan.Diagnostic{
				Severity: plan.SeverityError, Pos: in.Plan.Pos,
				Message: fmt.Sprintf("the stages %q and %q have one order, %d", first.name, in.name, in.Plan.Order),
				Hint:    "give one of them another order=", Related: related(first.Plan.Pos, "declared here"),
			})
			continue
		}
		orders[in.Plan.Order] = in
	}
}

func related(pos plan.Pos, msg string) []plan.Related {
	if pos.IsZero() {
		return nil
	}
	return []plan.Related{{Pos: pos, Message: msg}}
}

// resolveRules finds the rule of each type. A rule holds while its stage is
// neither renamed nor removed after it (S4); one of default_stage() stands above one of
// default_stages().
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
		in := st.find(r.Stage)
		if in == nil {
			in = st.former(r.Stage.Name)
		}
		if in == nil && r.Stage.Stage != nil {
			continue // its declaration was wrong, and that is said
		}
		if in == nil || in.removed != nil && in.edits <= r.After {
			st.unknown("default_stage", r.Stage, in, r.Pos, r.Stack)
			continue
		}
		if r.Given {
			given[r.Type] = r
		} else if _, ok := given[r.Type]; ok {
			continue
		}
		if in.edits > r.After {
			delete(st.rules, r.Type)
			continue
		}
		st.rules[r.Type] = &rule{r, in}
	}
}

// place puts each service into its stage (S3, S4), and returns them in stage
// order, then as declared.
func (st *stages) place(services []*builtins.Service) []*builtins.Service {
	members := map[*stage][]*builtins.Service{}
	for _, svc := range services {
		in, why := st.stageOf(svc)
		if in == nil {
			continue
		}
		svc.Plan.Stage, svc.Plan.Placed = in.name, why
		members[in] = append(members[in], svc)
	}
	ordered := make([]*builtins.Service, 0, len(services))
	for _, in := range st.running {
		ordered = append(ordered, members[in]...)
	}
	return ordered
}

func (st *stages) stageOf(svc *builtins.Service) (*stage, plan.Placement) {
	if !svc.Stage.IsZero() {
		in := st.byName[svc.Stage.Name]
		if svc.Stage.Stage != nil || in == nil {
			in = st.find(svc.Stage)
		}
		if in == nil && svc.Stage.Stage != nil {
			return nil, plan.Placement{} // its declaration was wrong, and that is said
		}
		if in == nil || in.removed != nil {
			st.unknown("service "+svc.Plan.Name, svc.Stage, in, svc.StagePos, svc.Stack)
			return nil, plan.Placement{}
		}
		return in, plan.Placement{By: plan.ByStage, Pos: svc.StagePos}
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
