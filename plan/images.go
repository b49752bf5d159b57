package plan

import (
	"iter"
	"strings"
)

// A NamedImage is an image that a service has besides its own, such as that of
// another container of its pods.
type NamedImage struct {
	Name string `json:"name"` // unique in the service
	ImageSource
}

// AllImages returns the images of a service, with their names: its own, if it has one,
// without a name, and then those of Images.
func (s *Service) AllImages() iter.Seq2[string, ImageSource] {
	return func(yield func(string, ImageSource) bool) {
		if s.Image != (ImageSource{}) && !yield("", s.Image) {
			return
		}
		for _, im := range s.Images {
			if !yield(im.Name, im.ImageSource) {
				return
			}
		}
	}
}

// OthersImages says what is deployed of the images that the chart of a HELM or the manifests of a
// MANIFESTS name, such as "those of its chart, copied into the registry". It is empty for a
// service of another type.
func (s *Service) OthersImages() string {
	if s.Type != Helm && s.Type != Manifests {
		return ""
	}
	text := "those of its chart"
	if s.Chart == nil {
		text = "those of its manifests"
	}
	if s.MirrorImages {
		return text + ", copied into the registry"
	}
	return text + ", from where they are"
}

// ImageKey returns the key of an image of a service in maps of the images of many
// services: the name of the service for its own image, and otherwise
// "<service>/<name>". No service has such a name.
func ImageKey(service, name string) string {
	if name == "" {
		return service
	}
	return service + "/" + name
}

// BuiltFor returns the service that a build has its ID from, see [BuildSpec].
func BuiltFor(build string) string {
	service, _, _ := strings.Cut(build, "/")
	return service
}

// A Base is an image that is the value of an argument of a build.
type Base struct {
	Identity Digest // of its content; part of the identity of the build
	Ref      string // its reference, the value of the argument; set for building
}
