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
	asked, ref := newUntilDone(), "" // ref is guarded by asked
	return func(ctx context.Context, emit runtime.Emit) string {
		done := asked.do(ctx, func() bool {
			found, _, err := r.Registry.Mirror(ctx, image, emit) // it is opened after the builder
			switch {
			case ctx.Err() != nil:
				return false
			case err == nil:
				ref = found
				return true
			}
			emit(runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning,
				Message:  fmt.Sprintf("images are built without an SBOM: the scanner that sbom= of pipeline() names cannot be used: %v", err),
				Hint:     "the images are complete without it; they get no SBOM later, unless they are built again",
			}})
			return true
		})
		if !done {
			return ""
		}
		return ref
	}
}
