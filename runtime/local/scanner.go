package local

import (
	"context"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// scanner returns a function that copies the image of a scanner of SBOMs into the registry, once, and
// returns the copy by digest; see [build.Attest]. If it cannot be copied, images are built without an
// SBOM, and the first build warns about it. It returns nil if there is no such image.
func (r *Runtime) scanner(image string) func(context.Context, runtime.Emit) string {
	if image == "" {
		return nil
	}
	turn := make(chan struct{}, 1)
	asked, ref := false, "" // guarded by turn
	return func(ctx context.Context, emit runtime.Emit) string {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return ""
		}
		if asked {
			return ref
		}
		found, _, err := r.Registry.Mirror(ctx, image, emit) // it is opened after the builder
		if ctx.Err() != nil {
			return ""
		}
		if asked = true; err != nil {
			emit(runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning,
				Message:  fmt.Sprintf("images are built without an SBOM: the scanner that sbom= of pipeline() names cannot be used: %v", err),
				Hint:     "the images are complete without it; they get no SBOM later, unless they are built again",
			}})
			return ""
		}
		ref = found
		return ref
	}
}
