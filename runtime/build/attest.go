package build

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/solver/errdefs"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// attested builds and pushes j on n, once, with its provenance (I12) and its SBOM (I13) if the
// builder and the registry can do that. The index with the attestations is pushed first, so that
// an image that has its own reference is complete.
func (b *Builder) attested(ctx context.Context, n *node, j job, emit runtime.Emit) (plan.Digest, error) {
	if b.opts.Attest.Beside == nil {
		return b.solve(ctx, n, j, j.ref, emit)
	}
	if _, err := n.connect(ctx); err != nil {
		return "", err
	}
	lacks := "provenance"
	if b.opts.Attest.Scanner != nil {
		lacks = "provenance and no SBOM"
	}
	if !n.has(minorProvenance) {
		digest, err := b.solve(ctx, n, j, j.ref, emit)
		if err == nil {
			j.warn(emit, lacks, "the builder is older than BuildKit 0.11", "update it")
		}
		return digest, err
	}
	if b.opts.Attest.Scanner != nil {
		if j.scanner = b.opts.Attest.Scanner(ctx, emit); ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
	}
	beside := b.opts.Attest.Beside(j.ref)
	digest, err := b.publish(ctx, n, j, beside, emit)
	if errors.Is(err, runtime.ErrNotFound) {
		// An existing blob may be damaged, which the embedded registry detects when the image
		// is complete: it is then removed, and pushed when the image is built again.
		emit(runtime.Retried{What: "build " + j.spec.ID, Error: "a part of it in the registry was damaged", Again: 1})
		digest, err = b.publish(ctx, n, j, beside, emit)
	}
	var refused *unpushed
	if err == nil || !errors.As(err, &refused) || refused.away || ctx.Err() != nil || transient(err) {
		return digest, err
	}
	// The registry accepts images, but perhaps no index or no manifest with a subject.
	digest, again := b.solve(ctx, n, j, j.ref, emit)
	if again == nil {
		j.warn(emit, lacks, fmt.Sprintf("the registry does not accept it: %v", err), "the image is complete without it; it needs a registry that accepts an OCI image index")
	}
	return digest, again
}

// warn reports what the image of a build lacks.
func (j job) warn(emit runtime.Emit, lacks, why, hint string) {
	emit(runtime.Warned{Diagnostic: plan.Diagnostic{
		Severity: plan.SeverityWarning, Pos: j.spec.Pos,
		Message: fmt.Sprintf("the image of %s has no %s: %s", j.spec.ID, lacks, why), Hint: hint,
	}})
}

// publish builds and pushes j with its attestations, and then gives the image its own reference.
func (b *Builder) publish(ctx context.Context, n *node, j job, beside string, emit runtime.Emit) (plan.Digest, error) {
	_, err := b.solve(ctx, n, j, beside, emit)
	if err != nil && j.scanner.Image != "" && ctx.Err() == nil && mayBeScanner(err) {
		// What was built is in the cache of the builder.
		without := j
		without.scanner = Scanner{}
		_, again := b.solve(ctx, n, without, beside, emit)
		if again == nil {
			j.warn(emit, "SBOM", fmt.Sprintf("the scanner %s failed: %v", j.scanner.Image, err), "the output of the scanner is in the log of the build; "+j.scanner.Hint)
		}
		err = again
	}
	if err != nil {
		return "", err
	}
	digest, err := b.opts.Attest.Publish(ctx, beside, j.ref)
	if err != nil {
		return "", &unpushed{fmt.Errorf("push the image to %s: %w", j.ref, err), errors.Is(err, runtime.ErrUnreachable)}
	}
	return digest, nil
}

// mayBeScanner reports whether a build may have failed because of its scanner: BuildKit does not
// say so, but an error of the Dockerfile has its position there.
func mayBeScanner(err error) bool {
	var pushing *unpushed
	var unreachable *UnreachableError
	return len(errdefs.Sources(err)) == 0 && !errors.As(err, &pushing) && !errors.As(err, &unreachable) && !errors.Is(err, runtime.ErrConflict) && !refused(err)
}
