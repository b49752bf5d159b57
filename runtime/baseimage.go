package runtime

import (
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A BaseImage is an image of a registry that another image was built from (I9).
type BaseImage struct {
	// Image is its name, with its tag if it was named by one, such as
	// "docker.io/library/golang:1.24".
	Image  string      `json:"image"`
	Digest plan.Digest `json:"digest"` // that the tag had then
	// Pinned says that it was named by digest, so that a tag which has moved since does not
	// change the next build.
	Pinned bool `json:"pinned,omitempty"`
}

// Compare compares base images by name and digest.
func (b BaseImage) Compare(other BaseImage) int {
	return strings.Compare(b.Image+"@"+string(b.Digest), other.Image+"@"+string(other.Digest))
}
