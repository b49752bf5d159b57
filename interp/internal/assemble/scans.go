package assemble

import (
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
				a.refuseImage(s, of, image, "which is not scanned", "scanned", related)
			}
		}
	}
	a.unseen(services, "unscanned", "scanned", related)
}
