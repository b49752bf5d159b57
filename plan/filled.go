package plan

import (
	"iter"
	"strings"
)

// A Filled is a place in the values of a chart whose value a plan does not have: it is
// set when the chart is rendered. Either Secret or Image is set.
type Filled struct {
	Path   []string   `json:"path"`             // of keys; in a list, the index of an element
	Secret *SecretRef `json:"secret,omitempty"` // its value
	Image  string     `json:"image,omitempty"`  // the name of one of Images: its reference, by digest
	Part   ImagePart  `json:"part,omitempty"`   // of the reference; empty: all of it
}

// String returns the path, such as "auth.password".
func (f Filled) String() string { return strings.Join(f.Path, ".") }

// An ImagePart is a part of an image's reference.
type ImagePart string

// The parts of a reference. Charts join repository and tag with a colon; as releases name
// images by digest (I4), the parts before and after the colon of "name@sha256:abc" are
// those of [PartJoined] and [PartTag].
const (
	PartRepository ImagePart = "repository" // registry and name
	PartJoined     ImagePart = "joined"     // registry and name, and the algorithm of the digest
	PartTag        ImagePart = "tag"        // the digest without its algorithm
	PartDigest     ImagePart = "digest"     // the digest
)

// CutImage splits the reference of an image into its name, with the registry, its tag and
// its digest. The last two are empty if it has none.
func CutImage(ref string) (name, tag, digest string) {
	name, digest, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i+1:]
	}
	return name, tag, digest
}

// Of returns the part of a reference. Without a digest, the parts beside the colon are
// name and tag.
func (p ImagePart) Of(ref string) string {
	name, digest, byDigest := strings.Cut(ref, "@")
	algorithm, hex, _ := strings.Cut(digest, ":")
	if !byDigest {
		name, hex, _ = CutImage(ref)
	}
	switch p {
	case PartRepository:
		return name
	case PartJoined:
		if !byDigest {
			return name
		}
		return name + "@" + algorithm
	case PartTag:
		return hex
	case PartDigest:
		return digest
	}
	return ref
}

// filledSecrets yields the secrets in the values of the chart.
func (s *Service) filledSecrets() iter.Seq2[string, SecretRef] {
	return func(yield func(string, SecretRef) bool) {
		for _, f := range s.Filled {
			if f.Secret != nil && !yield("values "+f.String(), *f.Secret) {
				return
			}
		}
	}
}
