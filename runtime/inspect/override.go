package inspect

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

// Overridden describes, by service, how an environment overrides the Pipelinefile. p is the
// plan of the file, and effective is that plan with the overrides of the environment.
func Overridden(p, effective *plan.Plan) map[string]string {
	said := make(map[string]*plan.Service, len(p.Services))
	for i := range p.Services {
		said[p.Services[i].Name] = &p.Services[i]
	}
	out := make(map[string]string)
	for i := range effective.Services {
		s := &effective.Services[i]
		file := said[s.Name]
		if file == nil {
			continue
		}
		text := ""
		if s.Stage != file.Stage {
			text = fmt.Sprintf("moved here from stage %s", file.Stage)
		}
		if s.Skip != file.Skip {
			if text != "" {
				text += ", and "
			}
			if s.Skip {
				text += "skipped"
			} else {
				text += "no longer skipped"
			}
		}
		if text != "" {
			out[s.Name] = fmt.Sprintf("%s by environment %s", text, p.Environment.Name)
		}
	}
	return out
}
