package interp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// The rules that need the whole file. Each reports its errors and continues, so that one
// evaluation reports them all (L3).

// missing returns one error that names all parameters without a value, or nil. If there
// is one, errors that depend on these parameters are not reported.
func (e *evaluation) missing() *plan.Diagnostic {
	list := e.session.Missing
	if len(list) == 0 {
		return nil
	}
	e.unknownParams()
	var names, set []string
	for _, m := range list[:min(len(list), maxNamed)] {
		names = append(names, m.Name)
		value := strings.ToUpper(m.Type)
		set = append(set, fmt.Sprintf("--set %s=%s", m.Name, value))
	}
	d := plan.Diagnostic{Severity: plan.SeverityError, Pos: list[0].Pos}
	d.Message = fmt.Sprintf("the parameter %s needs a value", names[0])
	if len(names) > 1 {
		d.Message = fmt.Sprintf("the parameters %s need values", strings.Join(names, ", "))
	}
	if more := len(list) - len(names); more > 0 {
		d.Message = fmt.Sprintf("the parameters %s and %d more need values", strings.Join(names, ", "), more)
		set = append(set, "…")
	}
	d.Hint = "give " + strings.Join(set, " ") + ", or a parameter file with --params"
	for i, m := range list {
		about := m.Name
		if m.Help != "" {
			about += ": " + m.Help
		}
		if i > 0 || m.Help != "" {
			d.Related = append(d.Related, plan.Related{Pos: m.Pos, Message: about})
		}
	}
	return &d
}

// maxNamed is the maximum number of parameters without values that an error names.
const maxNamed = 50

// unknownParams reports values of parameters that no file declares.
func (e *evaluation) unknownParams() {
	if e.opts.StandIns { // the values are for any file that is checked
		return
	}
	var names []string
	declared := map[string]bool{}
	for _, p := range e.session.Params {
		names, declared[p.Name] = append(names, p.Name), true
	}
	for _, name := range slices.Sorted(maps.Keys(e.opts.Params)) {
		if declared[name] {
			continue
		}
		other := "this file declares no parameters"
		if len(names) > 0 {
			other = "it declares " + strings.Join(names, ", ")
		}
		e.session.ReportSure(plan.Diagnostic{
			Severity: plan.SeverityError, Pos: plan.Pos{File: e.name}, Hint: other, Suggest: misspell.Nearest(name, names),
			Message: fmt.Sprintf("there is no parameter %q, but a value is given for it", name),
		})
	}
}

// assemble builds the plan from what was declared.
func (e *evaluation) assemble() *plan.Plan {
	s := e.session
	p := &plan.Plan{Version: plan.Version, Environment: e.opts.Environment, Params: s.Params, Stages: []plan.Stage{}, Builds: []plan.BuildSpec{}}
	if s.Pipeline != nil {
		p.Pipeline = *s.Pipeline
		p.SetNamespace(p.Environment.Namespace)
	} else {
		s.Report(plan.Diagnostic{
			Severity: plan.SeverityError, Pos: plan.Pos{File: e.name}, Message: "pipeline() is not called",
			Hint: fmt.Sprintf("start with: pipeline(%q)", "name"),
		})
	}
	e.unknownParams()
	e.skips()
	st := newStages(s)
	ordered := st.place(s.Services)
	for _, in := range st.running {
		p.Stages = append(p.Stages, in.plan())
	}
	p.Services = make([]plan.Service, 0, len(ordered))
	newImages(e, p).of(ordered)
	e.addresses(s.Services)
	e.certificates(s.Services)
	e.locals(s.Services)
	e.disks(s.Services)
	e.nodePorts(s.Services)
	e.peers(s.Services)
	e.unbuilt(p, s.Services)
	e.namespaces(p, s.Services)
	e.objects(p, s.Services)
	e.credentials(s.Services)
	uses(s.Services)
	for _, svc := range ordered {
		p.Services = append(p.Services, svc.Plan)
	}
	p.Inputs = s.Files.Inputs()
	p.Warnings = s.Warnings()
	return p
}

// skips applies the calls of skip().
func (e *evaluation) skips() {
	s := e.session
	if len(s.Skips) == 0 {
		return
	}
	byName := make(map[string]*builtins.Service, len(s.Services))
	names := make([]string, 0, len(s.Services))
	for _, svc := range s.Services {
		byName[svc.Plan.Name] = svc
		names = append(names, svc.Plan.Name)
	}
	unknown := 0
	for _, skip := range s.Skips {
		svc := byName[skip.Service]
		if svc == nil {
			if unknown++; unknown > maxSuggestions {
				names = nil
			}
			s.Report(plan.Diagnostic{
				Severity: plan.SeverityError, Pos: skip.Pos, Stack: skip.Stack, Suggest: misspell.Nearest(skip.Service, names),
				Message: fmt.Sprintf("skip: there is no service %q", skip.Service),
			})
			continue
		}
		if !svc.Plan.Skip {
			svc.Plan.Skip, svc.Plan.SkipWhy = true, &plan.Reason{Text: "skip()", Pos: skip.Call}
		}
	}
}

// compareStages orders stages by the order in which they run.
func compareStages(a, b *stage) int { return cmp.Compare(a.Plan.Order, b.Plan.Order) }
