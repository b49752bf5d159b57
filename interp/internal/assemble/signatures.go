package assemble

import (
	"fmt"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// unverified warns about services with images that no rule about signatures can apply to,
// because pipe does not look for them (I16).
func (a *assembly) unverified(p *plan.Plan, services []*builtins.Service) {
	if len(p.Pipeline.Verify) == 0 {
		return
	}
	for _, s := range services {
		if s.Plan.MirrorImages || s.Plan.Chart == nil && len(s.Plan.Manifests) == 0 {
			continue
		}
		of, hint := "chart", "leave out images = \"keep\", so that they are copied and verified"
		switch {
		case s.Plan.Chart == nil:
			of = "manifests"
		case s.Plan.Type != plan.Helm:
			hint = "declare it with helm(), whose images are copied and verified, or make sure that it names no other images"
		}
		a.session.Report(plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: s.Plan.Pos, Stack: s.Stack, Hint: hint, Rule: "unverified",
			Message: fmt.Sprintf("the images that are named in the %s of %s are not verified", of, s.Plan.Name),
			Related: []plan.Related{{Pos: p.Pipeline.Verify[0].Pos, Message: "signed() requires signatures here"}},
		})
	}
}
