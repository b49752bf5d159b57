package inspect

import (
	"context"
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

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

// lines returns the difference of two strings, line by line, with some lines around
// each place.
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
	head, tail = max(0, head-around), max(0, tail-around)
	a, b = a[head:len(a)-tail], b[head:len(b)-tail]

	var out strings.Builder
	write := func(mark string, lines []string) {
		for _, l := range lines {
			out.WriteString(mark + l + "\n")
		}
	}
	for _, place := range difflib.NewMatcherWithJunk(a, b, false, nil).GetGroupedOpCodes(around) {
		if out.Len() > 0 || head > 0 || place[0].I1 > 0 {
			out.WriteString("@@\n")
		}
		for _, op := range place {
			if op.Tag == 'e' {
				write(" ", a[op.I1:op.I2])
				continue
			}
			write("-", a[op.I1:op.I2])
			write("+", b[op.J1:op.J2])
		}
	}
	return out.String()
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
