package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

// A chart gets a password and an image that are not in the plan.
func ExampleFilled() {
	s := plan.Service{
		Name:   "redis",
		Images: []plan.NamedImage{{Name: "exporter", ImageSource: plan.ImageSource{Build: "exporter"}}},
		Filled: []plan.Filled{
			{Path: []string{"auth", "password"}, Secret: &plan.SecretRef{Name: "redis"}},
			{Path: []string{"sidecars", "0", "image"}, Image: "exporter"},
		},
	}
	for place, ref := range s.SecretRefs() {
		fmt.Println(place, "is secret", ref.Name)
	}
	fmt.Println(s.Filled[1])
	// Output:
	// values auth.password is secret redis
	// sidecars.0.image
}

// A chart that joins repository and tag with a colon gets a reference by digest.
func ExampleImagePart() {
	const ref = "registry.example.com/shop/api@sha256:4f151e"
	for _, part := range []plan.ImagePart{plan.PartJoined, plan.PartTag, plan.PartRepository, plan.PartDigest} {
		fmt.Println(part, part.Of(ref))
	}
	// Output:
	// joined registry.example.com/shop/api@sha256
	// tag 4f151e
	// repository registry.example.com/shop/api
	// digest sha256:4f151e
}

func ExampleImagePart_Of() {
	fmt.Println(plan.PartDigest.Of("registry.example.com/shop/api@sha256:4f151e"))
	// Output:
	// sha256:4f151e
}
