// Package why explains a service of a plan: where it is declared, why it is in
// its stage, how its image and its chart are made, which secrets it uses, and
// which parameters affect it.
package why

import (
	"path"
	"slices"

	"github.com/pipelinefile/pipe/plan"
)

// An Explanation explains a service. Its JSON form is documented.
type Explanation struct {
	Version     int                   `json:"version"` // 1
	Pipeline    string                `json:"pipeline"`
	Environment string                `json:"environment"`
	Service     string                `json:"service"`
	Type        plan.ServiceType      `json:"type"`
	Pos         plan.Pos              `json:"pos"`
	Stage       Stage                 `json:"stage"`
	Skipped     *plan.Reason          `json:"skipped,omitempty"` // nil: not skipped
	Image       *Image                `json:"image,omitempty"`   // nil: the chart's own
	Images      []NamedImage          `json:"images,omitempty"`  // that it has besides Image
	Chart       *plan.Chart           `json:"chart,omitempty"`   // nil: generated, or there are Manifests
	Manifests   []plan.ManifestSource `json:"manifests,omitempty"`
	// OthersImages is [plan.Service.OthersImages].
	OthersImages string   `json:"others_images,omitempty"`
	Secrets      []Secret `json:"secrets"` // in the order of the fields, each field once
	Params       []Param  `json:"params"`  // those that affect it, in order of declaration
	Unknown      []string `json:"unknown"` // parameters whose effect is unknown
}

// A Stage is the stage of a service, and why the service is in it.
type Stage struct {
	plan.Stage
	Number int            `json:"number"` // in running order, from 1
	Of     int            `json:"of"`
	Placed plan.Placement `json:"placed"`
}

// An Image is the source of a service's image. One of Build, Mirror and Ref is
// set, as in [plan.ImageSource].
type Image struct {
	Build  *plan.BuildSpec `json:"build,omitempty"`
	Mirror string          `json:"mirror,omitempty"`
	Ref    string          `json:"ref,omitempty"`
	Shared []string        `json:"shared"` // other services with the same image, in plan order
}

// A NamedImage is an image that a service has besides its own.
type NamedImage struct {
	Name string `json:"name"`
	*Image
}

// A Secret is a secret that a service uses, without its value.
type Secret struct {
	plan.SecretRef
	In string `json:"in"` // the field that uses it, such as "env TOKEN"
}

// A Param is a parameter that affects a service.
type Param struct {
	plan.Param
	Fields []string `json:"fields"` // the fields that another value changes, sorted; see [Changed]
}

// Of explains a service of a plan, without its parameters: see
// [Explanation.Reach]. It returns nil if the plan does not have the service.
func Of(p *plan.Plan, service string) *Explanation {
	s := p.Service(service)
	if s == nil {
		return nil
	}
	e := &Explanation{
		Version: 1, Pipeline: p.Pipeline.Name, Environment: p.Environment.Name,
		Service: s.Name, Type: s.Type, Pos: s.Pos, Chart: s.Chart, Manifests: s.Manifests, OthersImages: s.OthersImages(),
		Stage:   Stage{Of: len(p.Stages), Placed: s.Placed},
		Secrets: []Secret{}, Params: []Param{}, Unknown: []string{},
	}
	for i, st := range p.Stages {
		if st.Name == s.Stage {
			e.Stage.Stage, e.Stage.Number = st, i+1
		}
	}
	if s.Skip {
		e.Skipped = &plan.Reason{}
		if s.SkipWhy != nil {
			e.Skipped = s.SkipWhy
		}
	}
	for name, from := range s.AllImages() {
		if im := imageOf(p, s, from); name == "" {
			e.Image = im
		} else {
			e.Images = append(e.Images, NamedImage{name, im})
		}
	}
	for in, ref := range s.SecretRefs() {
		e.Secrets = append(e.Secrets, Secret{ref, in})
	}
	if e.Image != nil && e.Image.Build != nil {
		for _, ref := range e.Image.Build.Secrets {
			e.Secrets = append(e.Secrets, Secret{ref, "its build"})
		}
	}
	for _, im := range e.Images {
		if im.Build != nil {
			for _, ref := range im.Build.Secrets {
				e.Secrets = append(e.Secrets, Secret{ref, "the build of image " + im.Name})
			}
		}
	}
	return e
}

func imageOf(p *plan.Plan, s *plan.Service, from plan.ImageSource) *Image {
	image := &Image{Build: p.Build(from.Build), Mirror: from.Mirror, Ref: from.Ref, Shared: []string{}}
	for _, other := range p.Services {
		if other.Name == s.Name {
			continue
		}
		for _, has := range other.AllImages() {
			if has == from && !slices.Contains(image.Shared, other.Name) {
				image.Shared = append(image.Shared, other.Name)
			}
		}
	}
	return image
}

// source describes the directory that a build copies from, and its Dockerfile, if it has one.
func source(b *plan.BuildSpec) (folder, dockerfile string) {
	folder, dockerfile = path.Join(b.Source.Path, b.Context), path.Join(b.Source.Path, b.Dockerfile)
	if b.Source.Git != "" {
		folder = b.Source.Git + " at " + b.Source.Ref + ", directory " + folder
	}
	return folder, dockerfile
}
