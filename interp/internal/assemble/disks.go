package assemble

import (
	"fmt"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// disks reports claims of disk() that are also the volume of a service or an
// existing_volume(), and those that several services mount although only one pod can. It
// warns about those that only the pods of one node can mount (D11).
func (a *assembly) disks(services []*builtins.Service) {
	type owner struct {
		service *builtins.Service
		volume  string
	}
	type user struct {
		service *builtins.Service
		builtins.Mounted
	}
	var own map[string]owner
	users := map[string]user{}
	for _, s := range services {
		for _, m := range s.Claims().Mounted {
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
				a.session.Report(plan.Diagnostic{
					Severity: plan.SeverityError, Pos: m.Pos, Stack: s.Stack,
					Message: fmt.Sprintf("the claim %s of %s is also the volume %s of %s", m.Claim, s.Plan.Name, o.volume, o.service.Plan.Name),
					Hint:    "give the disk another name",
					Related: []plan.Related{{Pos: o.service.Plan.Pos, Message: o.service.Plan.Name + " is here"}},
				})
			}
			first, used := users[m.Claim]
			if !used {
				users[m.Claim] = user{s, m}
				continue
			}
			name := first.service.Plan.Name
			d := plan.Diagnostic{
				Severity: plan.SeverityError, Pos: m.Pos, Stack: s.Stack, Related: []plan.Related{{Pos: first.Pos, Message: name + " mounts it here"}},
			}
			switch {
			case first.Disk != m.Disk:
				d.Message = fmt.Sprintf("the claim %s is a disk(), which pipe creates, and an existing_volume()", m.Claim)
				d.Hint = "mount the disk in both places, or give it another name"
			case first.service == s:
				continue
			case m.Access == plan.ReadWriteOncePod:
				d.Message = fmt.Sprintf("%s and %s mount %s, which only one pod can mount: it is ReadWriteOncePod", name, s.Plan.Name, m.Claim)
				d.Hint = `write access = "ReadWriteMany" if its storage class has that`
			case !m.Access.Shared():
				d.Severity, d.Rule = plan.SeverityWarning, "shared-disk"
				d.Message = fmt.Sprintf("%s and %s mount %s, which only the pods of one node can mount: a pod on another node waits for it", name, s.Plan.Name, m.Claim)
				d.Hint = `write access = "ReadWriteMany" if its storage class has that, or keep the pods on one node`
			default:
				continue
			}
			a.session.Report(d)
		}
	}
}
