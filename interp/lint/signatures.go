package lint

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

// maxCovers limits how often it is looked up whether a pattern covers an image: some seconds.
const maxCovers = 100_000

// signatures finds patterns of signed() that cover no image, if all images have names that the
// plan knows: those of charts and manifests do not, nor run images that builders of buildpacks name, nor
// what is built for a registry that the plan does not name.
func (l *planLinter) signatures() {
	if len(l.plan.Builds) > 0 && l.plan.Pipeline.Registry == "" {
		return
	}
	var images []string
	for _, b := range l.plan.Builds {
		images = append(images, l.plan.Pipeline.Registry+"/"+b.ID)
		if _, ok := b.ImageArgs[plan.BuildpackRun]; b.Buildpack != nil && !ok {
			return
		}
		for _, from := range b.ImageArgs {
			images = append(images, from.Mirror+from.Ref)
		}
	}
	for i := range l.plan.Services {
		s := &l.plan.Services[i]
		if s.MirrorImages {
			return
		}
		for _, from := range s.AllImages() {
			images = append(images, from.Mirror+from.Ref)
		}
	}
	patterns := 0
	for _, rule := range l.plan.Pipeline.Verify {
		patterns += len(rule.Images)
	}
	if patterns*len(images) > maxCovers {
		return
	}
	for _, rule := range l.plan.Pipeline.Verify {
		for _, pattern := range rule.Images {
			of := plan.SignatureRule{Images: []string{pattern}}
			covers := false
			for _, image := range images {
				covers = covers || image != "" && of.Covers(image)
			}
			if !covers {
				l.add("covers-nothing", rule.Pos, fmt.Sprintf("no image of the pipeline is %q", pattern), "correct the pattern, or remove it: it requires no signature")
			}
		}
	}
}
