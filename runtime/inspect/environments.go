package inspect

import (
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Version is the version of the JSON format of this package. It increases when a reader of
// the previous version would misread the new one.
const Version = 1

// An Environment describes an environment, without its status.
type Environment struct {
	Pipeline  string                      `json:"pipeline"`
	Name      string                      `json:"name"`
	Namespace string                      `json:"namespace"`
	Further   []string                    `json:"further_namespaces,omitempty"` // those of services, see runtime.Environment.FurtherNamespaces
	Kind      plan.EnvironmentKind        `json:"kind"`
	Source    string                      `json:"source,omitempty"` // the environment that it was cloned from
	Branch    string                      `json:"branch,omitempty"` // of a preview
	Expires   time.Time                   `json:"expires,omitzero"` // when it is deleted; zero: never
	Services  int                         `json:"services"`
	Skipped   []string                    `json:"skipped,omitempty"`   // by the Pipelinefile or by an override
	Overrides map[string]runtime.Override `json:"overrides,omitempty"` // by service
}

// Of returns the description of env. If its overrides cannot be applied any more, for example
// because a stage was removed, Skipped ignores them.
func Of(env *runtime.Environment) Environment {
	out := Environment{
		Pipeline: env.Key.Pipeline, Name: env.Key.Name, Namespace: env.Key.Namespace(), Further: env.FurtherNamespaces(),
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
	Damaged      []Damaged     `json:"damaged"` // environments whose records cannot be read
}

// Damaged is an environment whose record cannot be read.
type Damaged struct {
	Pipeline string `json:"pipeline"`
	Name     string `json:"name"`
	Object   string `json:"object"` // the damaged object
	Reason   string `json:"reason"`
}

// OfAll returns the descriptions of environments, and the problems of those that cannot be
// read.
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

// A History contains the recorded runs of an environment (E5).
type History struct {
	Version     int                 `json:"version"`
	Pipeline    string              `json:"pipeline"`
	Environment string              `json:"environment"`
	Runs        []runtime.RunRecord `json:"runs"` // newest first
}
