package assemble

import (
	"fmt"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/manifest"
	"github.com/pipelinefile/pipe/plan"
)

// objects reports objects of manifests that cannot be part of a release of the
// service: those of another namespace, and those that are there twice.
func (a *assembly) objects(p *plan.Plan, services []*builtins.Service) {
	type place struct {
		service *builtins.Service
		pos     plan.Pos
	}
	first := map[manifest.Object]place{}
	for _, s := range services {
		namespace, whose := p.NamespaceOf(&s.Plan), "the environment"
		if s.Plan.Namespace != "" {
			whose = "the service"
		}
		for _, o := range s.Claims().Objects {
			if o.Namespace != "" && o.Namespace != namespace && p.Pipeline.Name != "" {
				field := "metadata.namespace: the object is"
				if o.APIVersion == "" {
					field = "its field namespace: the objects are"
				}
				or := ""
				if s.Plan.Namespace == "" {
					or = fmt.Sprintf("; or write manifests(%q, …, namespace = %q)", s.Plan.Name, o.Namespace)
				}
				a.session.Report(plan.Diagnostic{
					Severity: plan.SeverityError, Pos: o.Pos, Stack: s.Stack,
					Message: fmt.Sprintf("manifests: %s is in namespace %q, but %s has the namespace %q", o, o.Namespace, whose, namespace),
					Hint:    "leave out " + field + " then in the namespace of " + whose + or,
					Related: []plan.Related{{Pos: s.Plan.Pos, Message: "it belongs to the service " + s.Plan.Name}},
				})
			}
			if o.Kind == "Namespace" && o.APIVersion == "v1" && o.Name == namespace && p.Pipeline.Name != "" {
				a.session.Report(plan.Diagnostic{
					Severity: plan.SeverityError, Pos: o.Pos, Stack: s.Stack,
					Message: fmt.Sprintf("manifests: %s is the namespace of the release, which exists before it", o),
					Hint:    "leave it out: pipe creates the namespace",
					Related: []plan.Related{{Pos: s.Plan.Pos, Message: "it belongs to the service " + s.Plan.Name}},
				})
			}
			key := o.Key()
			if key.Namespace == "" {
				key.Namespace = namespace
			}
			other, twice := first[key]
			if !twice {
				first[key] = place{s, o.Pos}
				continue
			}
			d := plan.Diagnostic{
				Severity: plan.SeverityError, Pos: o.Pos, Stack: s.Stack,
				Message: fmt.Sprintf("manifests: the service %s has %s twice", s.Plan.Name, o),
				Related: []plan.Related{{Pos: other.pos, Message: "the first is here"}},
			}
			if other.service != s {
				d.Message = fmt.Sprintf("manifests: the services %s and %s both have %s", other.service.Plan.Name, s.Plan.Name, o)
				d.Hint = "an object belongs to one release"
				d.Related = append(d.Related,
					plan.Related{Pos: other.service.Plan.Pos, Message: other.service.Plan.Name + " is declared here"},
					plan.Related{Pos: s.Plan.Pos, Message: s.Plan.Name + " is declared here"})
			}
			a.session.Report(d)
		}
	}
}
