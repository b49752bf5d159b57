package inspect

import (
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Version is the format version of all that this package makes, as JSON. It
// grows when a reader of the former version would misread the new one.
const Version = 1

// An Environment is what an environment is, without how it stands.
type Environment struct {
	Pipeline  string                      `json:"pipeline"`
	Name      string                      `json:"name"`
	Namespace string                      `json:"namespace"`
	Kind      plan.EnvironmentKind        `json:"kind"`
	Source    string                      `json:"source,omitempty"` // environment that it was cloned from
	Branch    string                      `json:"branch,omitempty"` // of a preview
	Expires   time.Time                   `json:"expires,omitzero"` // when it is deleted; none: never
	Services  int                         `json:"services"`
	Skipped   []string                    `json:"skipped,omitempty"`   // services, by the file or by an override
	Overrides map[string]runtime.Override `json:"overrides,omitempty"` // by service
}

// Of returns what env is. An override that cannot be applied any more, as of a
// stage that is gone, is left out of Skipped.
func Of(env *runtime.Environment) Environment {
	out := Environment{
		Pipeline: env.Key.Pipeline, Name: env.Key.Name, Namespace: env.Key.Namespace(),
		Kind: env.Kind, Source: env.Source, Branch: env.Branch, Expires: env.Expires, Overrides: env.Overrides,
	}
	p, err := env.Effective()
	if err != nil {
		p = env.Plan
	}
	if p == nil {
		return out
	}
	out.Services = len(p.Services)
	for _, s := range p.Services {
		if s.Skip {
			out.Skipped = append(out.Skipped, s.Name)
		}
	}
	return out
}

// Environments is a list of environments.
type Environments struct {
	Version      int           `json:"version"`
	Environments []Environment `json:"environments"`
	Damaged      []Damaged     `json:"damaged"` // of which the record cannot be read
}

// Damaged is an environment of which the record cannot be read.
type Damaged struct {
	Pipeline string `json:"pipeline"`
	Name     string `json:"name"`
	Object   string `json:"object"` // that is damaged
	Reason   string `json:"reason"`
}

// OfAll returns what environments are, and what is wrong with those that cannot
// be read.
func OfAll(envs []*runtime.Environment, damaged []*runtime.DamagedError) Environments {
	out := Environments{Version: Version, Environments: []Environment{}, Damaged: []Damaged{}}
	for _, d := range damaged {
		out.Damaged = append(out.Damaged, Damaged{d.Key.Pipeline, d.Key.Name, d.Object, d.Err.Error()})
	}
	for _, env := range envs {
		out.Environments = append(out.Environments, Of(env))
	}
	return out
}

// A History is the runs of an environment that are kept (E5).
type History struct {
	Version     int                 `json:"version"`
	Pipeline    string              `json:"pipeline"`
	Environment string              `json:"environment"`
	Runs        []runtime.RunRecord `json:"runs"` // the newest first
}
