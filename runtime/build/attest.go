package build

import (
	"context"
	"errors"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// attested builds and pushes j on n, once, with its provenance if the builder and the registry
// can do that (I12). The index with the provenance is pushed first, so that an image that has
// its own reference is complete.
func (b *Builder) attested(ctx context.Context, n *node, j job, emit runtime.Emit) (plan.Digest, error) {
	if b.opts.Attest.Beside == nil {
		return b.solve(ctx, n, j, j.ref, emit)
	}
	if _, err := n.connect(ctx); err != nil {
		return "", err
	}
	warn := func(why, hint string) {
		emit(runtime.Warned{Diagnostic: plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: j.spec.Pos,
			Message: fmt.Sprintf("the image of %s has no provenance: %s", j.spec.ID, why), Hint: hint,
		}})
	}
	if !n.has(minorProvenance) {
		digest, err := b.solve(ctx, n, j, j.ref, emit)
		if err == nil {
			warn("the builder is older than BuildKit 0.11", "update it")
		}
		return digest, err
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
		warn(fmt.Sprintf("the registry does not accept it: %v", err), "the image is complete without it; it needs a registry that accepts an OCI image index")
	}
	return digest, again
}

// publish builds and pushes j with its provenance, and then gives the image its own reference.
func (b *Builder) publish(ctx context.Context, n *node, j job, beside string, emit runtime.Emit) (plan.Digest, error) {
	if _, err := b.solve(ctx, n, j, beside, emit); err != nil {
		return "", err
	}
	digest, err := b.opts.Attest.Publish(ctx, beside, j.ref)
	if err != nil {
		return "", &unpushed{fmt.Errorf("push the image to %s: %w", j.ref, err), errors.Is(err, runtime.ErrUnreachable)}
	}
	return digest, nil
}
