package inspect

import (
	"context"
	"fmt"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A Change is an object of a release in two states, as YAML. Values of Secrets
// are not in it (D4); where they differ, that can be seen.
type Change struct {
	Kind, Namespace, Name string
	Before                string // as the release has it; empty: it has no such object
	After                 string // as it would have it; empty: it would be deleted
}

// A Diff is what a deploy would change in the objects of an environment.
type Diff struct {
	Version     int           `json:"version"`
	Pipeline    string        `json:"pipeline"`
	Environment string        `json:"environment"`
	Namespace   string        `json:"namespace"`
	Services    []ServiceDiff `json:"services"` // in running order; those that stay as they are have no objects
}

// A ServiceDiff is what a deploy would change of one service.
type ServiceDiff struct {
	Service string        `json:"service"`
	Stage   string        `json:"stage,omitempty"`
	Do      runtime.State `json:"do"`            // deploying, unchanged or skipped; deleting, with --prune
	Why     string        `json:"why,omitempty"` // of Do
	// Overridden says how the environment has the service other than the
	// Pipelinefile; empty: it does not.
	Overridden string       `json:"overridden,omitempty"`
	Objects    []ObjectDiff `json:"objects,omitempty"`
}

// An ObjectDiff is what would change of one object. Values of Secrets are not in
// it: where they differ, "REDACTED, another value" stands for the new one.
type ObjectDiff struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Do        string `json:"do"`   // "create", "change" or "delete"
	Diff      string `json:"diff"` // lines that begin with "-", "+" or " ", and "@@" between places
}

// Override tells of services how the environment has them, as [Overridden] says.
func (d Diff) Override(how map[string]string) {
	for i := range d.Services {
		d.Services[i].Overridden = how[d.Services[i].Service]
	}
}

// Changes reports whether there is something to do.
func (d Diff) Changes() bool {
	for _, s := range d.Services {
		if s.Do != runtime.Unchanged && s.Do != runtime.Skipped {
			return true
		}
	}
	return false
}

// DiffOf compares what is deployed with what the steps of a preview of p would
// deploy or delete. changes is [deploy.Deployer.Changes]; redact takes the values
// of secrets out of what is shown.
func DiffOf(ctx context.Context, changes func(context.Context, runtime.Release, bool) ([]Change, error), key runtime.EnvironmentKey, p *plan.Plan, steps []runtime.Step, redact func(string) string) (Diff, error) {
	out := Diff{Version: Version, Pipeline: key.Pipeline, Environment: key.Name, Namespace: key.Namespace(), Services: []ServiceDiff{}}
	for _, step := range steps {
		s := ServiceDiff{Service: step.Service, Stage: step.Stage, Do: step.Do, Why: step.Why}
		if step.Do == runtime.Deploying || step.Do == runtime.Deleting {
			service := p.Service(step.Service)
			if service == nil { // it is pruned
				service = &plan.Service{Name: step.Service}
			}
			found, err := changes(ctx, runtime.Release{
				Pipeline: key.Pipeline, Environment: key.Name, Namespace: key.Namespace(), Service: *service, Image: step.Ref,
			}, step.Do == runtime.Deleting)
			if err != nil {
				return out, fmt.Errorf("compare service %s with what is deployed: %w", step.Service, err)
			}
			s.Objects = objectDiffs(found, redact)
		}
		out.Services = append(out.Services, s)
	}
	return out, nil
}

func objectDiffs(changes []Change, redact func(string) string) []ObjectDiff {
	var out []ObjectDiff
	for _, c := range changes {
		o := ObjectDiff{Kind: c.Kind, Namespace: c.Namespace, Name: c.Name, Do: "change"}
		switch {
		case c.Before == "":
			o.Do = "create"
		case c.After == "":
			o.Do = "delete"
		}
		o.Diff = redact(lines(c.Before, c.After))
		out = append(out, o)
	}
	return out
}

// around is how many lines that stay are shown around those that change.
const around = 3

// lines returns the difference of two texts, line by line, with some lines
// around each place, by the longest common subsequence of their lines.
func lines(before, after string) string {
	a, b := split(before), split(after)
	// What is the same at both ends need not be compared: objects are hundreds of
	// lines, of which few change.
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var all []string
	for _, l := range a[:head] {
		all = append(all, " "+l)
	}
	all = append(all, compare(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, l := range a[len(a)-tail:] {
		all = append(all, " "+l)
	}
	return trim(all)
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// compare marks each line of a and b.
func compare(a, b []string) []string {
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, " "+a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "-"+a[i])
			i++
		default:
			out = append(out, "+"+b[j])
			j++
		}
	}
	return out
}

// trim leaves out the lines that are far from a change.
func trim(all []string) string {
	near := make([]bool, len(all))
	for i, l := range all {
		if l[0] != ' ' {
			for k := max(0, i-around); k <= min(len(all)-1, i+around); k++ {
				near[k] = true
			}
		}
	}
	var b strings.Builder
	for i, l := range all {
		switch {
		case near[i]:
			b.WriteString(l + "\n")
		case i == 0 || near[i-1]:
			b.WriteString("@@\n")
		}
	}
	return strings.TrimSuffix(b.String(), "@@\n")
}
