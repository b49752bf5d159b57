package local

import (
	"context"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// scanner returns a function that stores the image of a scanner of SBOMs in the registry, once, and
// returns it by digest; see [build.Attest]: a copy of the one that opts name, or one with pipe-sbom. If it
// cannot be stored, images are built without an SBOM, and the first build warns about it. It returns nil
// if there is no scanner.
func (r *Runtime) scanner(opts Options) func(context.Context, runtime.Emit) build.Scanner {
	what, hint := "the scanner that sbom= of pipeline() names", "correct sbom= of pipeline(), or leave it out"
	store := func(ctx context.Context, emit runtime.Emit) (string, error) {
		ref, _, err := r.Registry.Mirror(ctx, opts.SBOM, emit) // it is opened after the builder
		return ref, err
	}
	switch {
	case opts.NoSBOM:
		return nil
	case opts.SBOM != "":
	case len(r.scanners) == 0:
		return nil
	default:
		what = "the scanner pipe-sbom"
		hint = "if the builder is of another platform than this machine, put its pipe-sbom-linux-ARCH beside pipe, too; sbom = False of pipeline() makes no SBOMs"
		store = func(ctx context.Context, emit runtime.Emit) (string, error) { return r.storeScanner(ctx, emit) }
	}
	asked, ref := newUntilDone(), "" // ref is guarded by asked
	return func(ctx context.Context, emit runtime.Emit) build.Scanner {
		done := asked.do(ctx, func() bool {
			found, err := store(ctx, emit)
			switch {
			case ctx.Err() != nil:
				return false
			case err == nil:
				ref = found
				return true
			}
			emit(runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning,
				Message:  fmt.Sprintf("images are built without an SBOM: %s cannot be used: %v", what, err),
				Hint:     "the images are complete without it; they get no SBOM later, unless they are built again",
			}})
			return true
		})
		if !done || ref == "" {
			return build.Scanner{}
		}
		return build.Scanner{Image: ref, Hint: hint}
	}
}
