package interp

import (
	"fmt"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// disks reports claims of disk() and existing_volume() that are also the volume of a
// service, and warns about those that several services mount although only the pods of one
// node can (D11).
func (e *evaluation) disks(services []*builtins.Service) {
	type owner struct {
		service *builtins.Service
		volume  string
	}
	type user struct {
		service *builtins.Service
		pos     plan.Pos
	}
	var own map[string]owner
	users := map[string]user{}
	for _, s := range services {
		for _, m := range s.Mounted {
			if own == nil {
				own = map[string]owner{}
				for _, o := range services {
					for _, v := range o.Plan.Workload.Volumes {
						own[o.Plan.Name+"-"+v.Name] = owner{o, v.Name}
					}
					if o.Plan.Workload.Database != nil {
						own[o.Plan.Name+"-data"] = owner{o, "data"}
					}
				}
			}
			if o, taken := own[m.Claim]; taken && m.Disk {
				e.session.Report(plan.Diagnostic{
					Severity: plan.SeverityError, Pos: m.Pos, Stack: s.Stack,
					Message: fmt.Sprintf("the claim %s of %s is also the volume %s of %s", m.Claim, s.Plan.Name, o.volume, o.service.Plan.Name),
					Hint:    "give the disk another name",
					Related: []plan.Related{{Pos: o.service.Plan.Pos, Message: o.service.Plan.Name + " is here"}},
				})
			}
			first, used := users[m.Claim]
			if !used {
				users[m.Claim] = user{s, m.Pos}
			}
			if !used || m.Shared || first.service == s {
				continue
			}
			e.session.Report(plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: m.Pos, Stack: s.Stack, Rule: "shared-disk",
				Message: fmt.Sprintf("%s and %s mount %s, which only the pods of one node can mount: a pod on another node waits for it", first.service.Plan.Name, s.Plan.Name, m.Claim),
				Hint:    `write access = "ReadWriteMany" if its storage class has that, or keep the pods on one node`,
				Related: []plan.Related{{Pos: first.pos, Message: first.service.Plan.Name + " mounts it here"}},
			})
		}
	}
}
