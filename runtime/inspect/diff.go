package inspect

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A Change is an object of a release in two states, as YAML. Values of Secrets are redacted
// (D4), but it is visible that they differ.
type Change struct {
	Kind, Namespace, Name string
	Before                string // the current state; empty: the object does not exist
	After                 string // the new state; empty: the object would be deleted
}

// A Diff contains the changes of a deploy to the objects of an environment.
type Diff struct {
	Version     int           `json:"version"`
	Pipeline    string        `json:"pipeline"`
	Environment string        `json:"environment"`
	Namespace   string        `json:"namespace"`
	Services    []ServiceDiff `json:"services"` // in running order; unchanged services have no objects
}

// A ServiceDiff contains the changes of a deploy to one service.
type ServiceDiff struct {
	Service string `json:"service"`
	// Namespace is that of the release, if it is not that of the environment.
	Namespace string        `json:"namespace,omitempty"`
	Stage     string        `json:"stage,omitempty"`
	Do        runtime.State `json:"do"`            // deploying, unchanged or skipped; deleting, with --prune
	Why       string        `json:"why,omitempty"` // of Do
	// Overridden describes how the environment overrides the Pipelinefile for the service;
	// empty: it does not.
	Overridden string       `json:"overridden,omitempty"`
	Objects    []ObjectDiff `json:"objects,omitempty"`
}

// An ObjectDiff contains the changes to one object. Values of Secrets are redacted: if they
// differ, the new one is "REDACTED, another value".
type ObjectDiff struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Do        string `json:"do"`   // "create", "change", "delete" or "adopt": it exists, and becomes part of the release
	Diff      string `json:"diff"` // lines that begin with "-", "+" or " ", and "@@" between hunks
}

// Override sets Overridden of the services, as returned by [Overridden].
func (d Diff) Override(how map[string]string) {
	for i := range d.Services {
		d.Services[i].Overridden = how[d.Services[i].Service]
	}
}

// Changes reports whether a deploy would change anything.
func (d Diff) Changes() bool {
	for _, s := range d.Services {
		if s.Do != runtime.Unchanged && s.Do != runtime.Skipped {
			return true
		}
	}
	return false
}

// DiffOf compares the deployed objects with those that the steps of a preview of p would
// deploy or delete. changes is [deploy.Deployer.Changes]; redact removes the values of
// secrets from the output.
func DiffOf(ctx context.Context, changes func(context.Context, runtime.Release, bool) ([]Change, error), key runtime.EnvironmentKey, p *plan.Plan, steps []runtime.Step, redact func(string) string) (Diff, error) {
	out := Diff{Version: Version, Pipeline: key.Pipeline, Environment: key.Name, Namespace: key.Namespace(), Services: []ServiceDiff{}}
	for _, step := range steps {
		s := ServiceDiff{Service: step.Service, Namespace: step.Namespace, Stage: step.Stage, Do: step.Do, Why: step.Why}
		if step.Do == runtime.Deploying || step.Do == runtime.Deleting {
			service := p.Service(step.Service)
			if service == nil { // it is pruned
				service = &plan.Service{Name: step.Service}
			}
			found, err := changes(ctx, runtime.Release{
				Pipeline: key.Pipeline, Environment: key.Name, Namespace: cmp.Or(step.Namespace, key.Namespace()), Home: key.Namespace(), Service: *service,
				Image: step.Ref, Images: refs(step.Images), Mirrored: refs(step.ChartImages), Adopt: len(step.Adopts) > 0,
			}, step.Do == runtime.Deleting)
			if err != nil {
				return out, fmt.Errorf("compare service %s with what is deployed: %w", step.Service, err)
			}
			s.Objects = objectDiffs(found, step.Adopts, redact)
		}
		out.Services = append(out.Services, s)
	}
	return out, nil
}

// refs returns the references of images by their names.
func refs(images []runtime.StepImage) map[string]string {
	out := make(map[string]string, len(images))
	for _, im := range images {
		out[im.Name] = im.Ref
	}
	return out
}

func objectDiffs(changes []Change, adopts []runtime.Adoption, redact func(string) string) []ObjectDiff {
	var out []ObjectDiff
	adopted := make(map[[2]string]bool, len(adopts))
	for _, a := range adopts {
		adopted[[2]string{a.ObjectKind, a.Name}] = true
		out = append(out, ObjectDiff{Kind: a.ObjectKind, Namespace: a.Namespace, Name: a.Name, Do: "adopt", Diff: redact(a.Diff)})
	}
	for _, c := range changes {
		if adopted[[2]string{c.Kind, c.Name}] {
			continue
		}
		o := ObjectDiff{Kind: c.Kind, Namespace: c.Namespace, Name: c.Name, Do: "change"}
		switch {
		case c.Before == "":
			o.Do = "create"
		case c.After == "":
			o.Do = "delete"
		}
		o.Diff = redact(Lines(c.Before, c.After))
		out = append(out, o)
	}
	return out
}

// around is the number of unchanged lines that are shown before and after a change.
const around = 3

// Lines returns a diff of two strings by line, with some lines of context, as in
// [ObjectDiff].
func Lines(before, after string) string {
	a, b := split(before), split(after)
	// Skip common lines at both ends: objects have hundreds of lines, and only a few of them
	// change.
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
