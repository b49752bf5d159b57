package runtime

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// An Environment is one running copy of a pipeline.
type Environment struct {
	Key     EnvironmentKey       `json:"key"`
	Kind    plan.EnvironmentKind `json:"kind"`
	Source  string               `json:"source,omitempty"` // environment that it was cloned from
	Branch  string               `json:"branch,omitempty"` // that git sources which have it use (E3)
	Expires time.Time            `json:"expires,omitzero"` // when it is deleted; zero: never
	// Plan is the last one, as the Pipelinefile said it: without overrides.
	Plan *plan.Plan `json:"plan,omitempty"`
	// Overrides are the overrides of the environment, by service (E4, S6). Those of
	// services that are not in the plan apply if the plan has the services again.
	Overrides map[string]Override `json:"overrides,omitempty"`
	// Images are, by plan.ImageKey, the images by digest that were last deployed or, for
	// jobs that do not run on deploy, built.
	Images map[string]string `json:"images,omitempty"`
	// Namespaces are those, besides that of Key, in which releases of former plans may be,
	// sorted (E9): see FurtherNamespaces.
	Namespaces []string `json:"namespaces,omitempty"`
	// Revision is compared by Save; empty if the environment was never saved.
	Revision string `json:"-"`
}

// An Override is a setting of an environment for a service. It takes precedence over
// the Pipelinefile.
type Override struct {
	Skip  *bool  `json:"skip,omitempty"`  // nil: as in the Pipelinefile
	Stage string `json:"stage,omitempty"` // empty: as in the Pipelinefile
}

// Ref returns the reference to e for evaluating a Pipelinefile.
func (e *Environment) Ref() plan.EnvironmentRef {
	return plan.EnvironmentRef{Name: e.Key.Name, Kind: e.Kind, Source: e.Source, Branch: e.Branch, Namespace: e.Key.Namespace()}
}

// Params returns the parameters of the last plan that were set, without defaults.
func (e *Environment) Params() map[string]string {
	given := make(map[string]string)
	if e.Plan != nil {
		for _, p := range e.Plan.Params {
			if !p.Default {
				given[p.Name] = p.Value
			}
		}
	}
	return given
}

// Effective returns the plan with the overrides, or nil if there is no plan.
func (e *Environment) Effective() (*plan.Plan, error) {
	if e.Plan == nil {
		return nil, nil
	}
	return e.Apply(e.Plan)
}

// Apply returns p with the overrides of e. It is an error if an override moves
// a service into a stage that p does not have (S4).
func (e *Environment) Apply(p *plan.Plan) (*plan.Plan, error) {
	if len(e.Overrides) == 0 {
		return p, nil
	}
	out := *p
	out.Services = slices.Clone(p.Services)
	order := make(map[string]int, len(p.Stages))
	for i, st := range p.Stages {
		order[st.Name] = i
	}
	var gone []string
	for i := range out.Services {
		s := &out.Services[i]
		o := e.Overrides[s.Name]
		if o.Skip != nil && *o.Skip != s.Skip {
			s.Skip, s.SkipWhy = *o.Skip, nil
			if s.Skip {
				s.SkipWhy = &plan.Reason{Text: "skipped in environment " + e.Key.Name}
			}
		}
		if o.Stage == "" || o.Stage == s.Stage {
			continue
		}
		if _, ok := order[o.Stage]; !ok {
			gone = append(gone, fmt.Sprintf("service %s to stage %q", s.Name, o.Stage))
			continue
		}
		s.Stage, s.Placed = o.Stage, plan.Placement{By: plan.ByOverride}
	}
	if len(gone) > 0 {
		return nil, fmt.Errorf("environment %s moves %s, which pipeline %s no longer has; use pipe move again", e.Key.Name, strings.Join(gone, ", "), p.Pipeline.Name)
	}
	slices.SortStableFunc(out.Services, func(a, b plan.Service) int { return order[a.Stage] - order[b.Stage] })
	return &out, nil
}
