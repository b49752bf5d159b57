// Package assemble makes a plan of what a Pipelinefile has declared: it resolves stages, places
// services, collects builds, and finds declarations that contradict each other.
package assemble

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

// An assembly has the rules that need the whole file. Each reports its errors in the session
// and continues, so that one evaluation reports them all (L3).
type assembly struct {
	session *builtins.Session
	file    string
}

// Missing returns one error that names all parameters without a value, or nil. If there
// is one, errors that depend on these parameters are not reported. file is the Pipelinefile.
func Missing(s *builtins.Session, file string) *plan.Diagnostic {
	list := s.Missing
	if len(list) == 0 {
		return nil
	}
	(&assembly{s, file}).unknownParams()
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
func (a *assembly) unknownParams() {
	if a.session.StandIns { // the values are for any file that is checked
		return
	}
	var names []string
	declared := map[string]bool{}
	for _, p := range a.session.Params {
		names, declared[p.Name] = append(names, p.Name), true
	}
	for _, name := range slices.Sorted(maps.Keys(a.session.Values)) {
		if declared[name] {
			continue
		}
		other := "this file declares no parameters"
		if len(names) > 0 {
			other = "it declares " + strings.Join(names, ", ")
		}
		a.session.ReportSure(plan.Diagnostic{
			Severity: plan.SeverityError, Pos: plan.Pos{File: a.file}, Hint: other, Suggest: misspell.Nearest(name, names),
			Message: fmt.Sprintf("there is no parameter %q, but a value is given for it", name),
		})
	}
}

// Plan returns the plan of what was declared. It reports errors in the session: if there is
// one, the plan is not valid. file is the Pipelinefile.
func Plan(s *builtins.Session, file string) *plan.Plan {
	a := &assembly{s, file}
	p := &plan.Plan{Version: plan.Version, Environment: s.Environment, Params: s.Params, Stages: []plan.Stage{}, Builds: []plan.BuildSpec{}}
	if s.Pipeline != nil {
		p.Pipeline = *s.Pipeline
		p.SetNamespace(p.Environment.Namespace)
	} else {
		s.Report(plan.Diagnostic{
			Severity: plan.SeverityError, Pos: plan.Pos{File: a.file}, Message: "pipeline() is not called",
			Hint: fmt.Sprintf("start with: pipeline(%q)", "name"),
		})
	}
	a.unknownParams()
	a.skips()
	st := newStages(s)
	ordered := st.place(s.Services)
	for _, in := range st.running {
		p.Stages = append(p.Stages, in.plan())
	}
	p.Services = make([]plan.Service, 0, len(ordered))
	newImages(a, p).of(ordered)
	a.addresses(s.Services)
	a.certificates(s.Services)
	a.locals(s.Services)
	a.disks(s.Services)
	a.nodePorts(s.Services)
	a.peers(s.Services)
	a.unbuilt(p, s.Services)
	a.unverified(p, s.Services)
	a.unscanned(p, s.Services)
	a.namespaces(p, s.Services)
	a.objects(p, s.Services)
	a.credentials(s.Services)
	uses(s.Services)
	for _, svc := range ordered {
		p.Services = append(p.Services, svc.Plan)
	}
	p.Inputs = s.Files.Inputs()
	p.Warnings = s.Warnings()
	return p
}

// skips applies the calls of skip().
func (a *assembly) skips() {
	s := a.session
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
			if unknown++; unknown > misspell.MaxErrors {
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
