package inspect

import "github.com/pipelinefile/pipe/plan"

// Upstreams are the images of other registries that an environment depends on (I11).
type Upstreams struct {
	Version     int             `json:"version"`
	Pipeline    string          `json:"pipeline"`
	Environment string          `json:"environment"`
	Images      []UpstreamImage `json:"images"`
	// Unknown are the images that cannot be compared with their upstream.
	Unknown []UnknownUpstream `json:"unknown"`
}

// An UpstreamImage is an image with a tag that a service depends on.
type UpstreamImage struct {
	Service string       `json:"service"`
	Name    string       `json:"name,omitempty"` // of the image of the service; empty: its own
	Kind    UpstreamKind `json:"kind"`
	Image   string       `json:"image"`         // with its tag
	Was     plan.Digest  `json:"was"`           // that the environment has
	Now     plan.Digest  `json:"now,omitempty"` // that the tag has now; empty: not known
	Moved   bool         `json:"moved"`
	// Pinned says that the Dockerfile or the Pipelinefile names the digest, too.
	Pinned bool `json:"pinned,omitempty"`
	// Error is why the tag could not be looked up.
	Error string `json:"error,omitempty"`
}

// An UpstreamKind says what an image is to a service.
type UpstreamKind string

// The kinds of upstream images.
const (
	UpstreamBase     UpstreamKind = "base"     // its image was built from it
	UpstreamDeployed UpstreamKind = "deployed" // it is deployed, or a copy of it
	UpstreamNamed    UpstreamKind = "named"    // its chart or its manifests name it, and a copy is deployed
)

// An UnknownUpstream is an image of a service that cannot be compared with its upstream.
type UnknownUpstream struct {
	Service string     `json:"service"`
	Name    string     `json:"name,omitempty"` // of the image of the service; empty: its own
	Image   string     `json:"image"`          // as it is deployed; empty: see UnrecordedImages
	Why     UnknownWhy `json:"why"`
	Error   string     `json:"error,omitempty"` // of the registry, if that is why
}

// An UnknownWhy says why an image cannot be compared with its upstream.
type UnknownWhy string

// Why an image cannot be compared with its upstream.
const (
	UnrecordedBases  UnknownWhy = "unrecorded"        // when it was built, its base images were not noted
	DeployedByTag    UnknownWhy = "by-tag"            // its digest was not known when it was deployed
	UnreadableNote   UnknownWhy = "unreadable"        // the note of its base images cannot be read
	UnrecordedImages UnknownWhy = "unrecorded-images" // no record of a run has the images that its chart or its manifests name
)

// Failed returns the number of images that could not be looked up or read.
func (u *Upstreams) Failed() (n int) {
	for _, im := range u.Images {
		if im.Error != "" {
			n++
		}
	}
	for _, im := range u.Unknown {
		if im.Error != "" {
			n++
		}
	}
	return n
}

// Moved returns the number of tags that have moved, by service.
func (u *Upstreams) Moved() (n int) {
	for _, im := range u.Images {
		if im.Moved {
			n++
		}
	}
	return n
}
