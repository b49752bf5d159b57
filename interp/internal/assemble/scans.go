package assemble

import (
	"fmt"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// unscanned finds the services with images that are not scanned, because pipe does not look for them
// (I14): those that unverified finds. A patch that sets an image is refused.
func (a *assembly) unscanned(p *plan.Plan, services []*builtins.Service) {
	if p.Pipeline.Scan == nil {
		return
	}
	related := plan.Related{Pos: p.Pipeline.Scan.Pos, Message: "scan() requires a report of each image"}
	for _, s := range services {
		for _, of := range s.Plan.Workload.Patches.Patches {
			for _, image := range patchedImages(of) {
				a.session.Report(plan.Diagnostic{
					Severity: plan.SeverityError, Pos: of.Pos, Stack: s.Stack, Related: []plan.Related{related},
					Hint:    "name the image with image=, init= or sidecars=, so that it is copied and scanned",
					Message: fmt.Sprintf("a patch of %s sets the image %s, which is not scanned", s.Plan.Name, image),
				})
			}
		}
	}
	a.unseen(services, "unscanned", "scanned", related)
}
