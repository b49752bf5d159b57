package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleCutImage() {
	name, tag, digest := plan.CutImage("registry.example.com:5000/shop/api:1.2")
	fmt.Printf("%q %q %q\n", name, tag, digest)
	// Output: "registry.example.com:5000/shop/api" "1.2" ""
}
