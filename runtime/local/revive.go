package local

import (
	"context"
	"errors"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// restarted starts the component again if the process before has died, and
// reports whether it runs as a different process now.
func (a *attachment) restarted(ctx context.Context, before int) bool {
	if _, err := a.addr(ctx); err != nil {
		return false
	}
	return a.pid() != before
}

// pid returns the PID of the component, as far as it is known.
func (a *attachment) pid() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.held); n > 0 {
		return a.held[n-1].PID
	}
	return 0
}

// A revived registry is the embedded one. If an operation fails because the registry has
// died, it is started again at the same address.
type revived struct {
	runtime.Registry
	at *attachment
}

// again performs an operation on the registry, and retries it once if the registry has
// died meanwhile.
func (r revived) again(ctx context.Context, what string, emit runtime.Emit, do func() error) error {
	before := r.at.pid()
	err := do()
	var wrong *runtime.BuildError
	if err == nil || ctx.Err() != nil || errors.Is(err, runtime.ErrNotFound) || errors.As(err, &wrong) || !r.at.restarted(ctx, before) {
		return err
	}
	emit(runtime.Retried{What: what, Error: "the embedded registry had died, and was started again", Again: 1})
	return do()
}

// Resolve implements [runtime.Registry].
func (r revived) Resolve(ctx context.Context, ref string) (digest plan.Digest, err error) {
	err = r.again(ctx, "look up "+ref, func(runtime.Body) {}, func() (err error) {
		digest, err = r.Registry.Resolve(ctx, ref)
		return err
	})
	return digest, err
}

// Mirrored implements [runtime.Registry].
func (r revived) Mirrored(ctx context.Context, src string) (ref string, there bool, err error) {
	err = r.again(ctx, "look up "+src, func(runtime.Body) {}, func() (err error) {
		ref, there, err = r.Registry.Mirrored(ctx, src)
		return err
	})
	return ref, there, err
}

// Mirror implements [runtime.Registry].
func (r revived) Mirror(ctx context.Context, src string, emit runtime.Emit) (ref string, copied bool, err error) {
	err = r.again(ctx, "copy "+src, emit, func() (err error) {
		ref, copied, err = r.Registry.Mirror(ctx, src, emit)
		return err
	})
	return ref, copied, err
}

// A pushing builder pushes to the embedded registry.
type pushing struct {
	runtime.Builder
	to     revived
	pushed pushed
}

// Build implements [runtime.Builder].
func (b pushing) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (digest plan.Digest, err error) {
	err = b.to.again(ctx, "build "+spec.ID, emit, func() (err error) {
		digest, err = b.Builder.Build(ctx, spec, ref, emit)
		return err
	})
	if err == nil {
		err = b.pushed.note(ref, digest)
	}
	if err != nil {
		return digest, err
	}
	// An existing blob may be damaged, which is detected when the image is complete: it
	// is then removed, and pushed when the image is built again.
	if _, err := b.to.Registry.Resolve(ctx, runtime.ByDigest(ref, digest)); !errors.Is(err, runtime.ErrNotFound) {
		return digest, err
	}
	emit(runtime.Retried{What: "build " + spec.ID, Error: "a part of it in the registry was damaged", Again: 1})
	return b.Builder.Build(ctx, spec, ref, emit)
}
