package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// A joining registry notes in the registry, before the first answer, that this cluster uses
// its images, so that who prunes it elsewhere knows (I6).
type joining struct {
	runtime.Registry
	join func(context.Context)
}

// Resolve implements [runtime.Registry].
func (j joining) Resolve(ctx context.Context, ref string) (plan.Digest, error) {
	j.join(ctx)
	return j.Registry.Resolve(ctx, ref)
}

// Mirrored implements [runtime.Registry].
func (j joining) Mirrored(ctx context.Context, src string) (ref string, there bool, err error) {
	j.join(ctx)
	return j.Registry.Mirrored(ctx, src)
}

// Mirror implements [runtime.Registry].
func (j joining) Mirror(ctx context.Context, src string, emit runtime.Emit) (ref string, copied bool, err error) {
	j.join(ctx)
	return j.Registry.Mirror(ctx, src, emit)
}

// joins returns a function that joins the registry once.
func (r *Runtime) joins(opts Options, config *rest.Config) func(context.Context) {
	joined := newUntilDone()
	return func(ctx context.Context) {
		joined.do(ctx, func() bool {
			ids, err := clusterIDs(ctx, config, r.Inspector)
			if err == nil {
				err = r.images.Join(ctx, registry.Cluster{ID: ids[0], Name: config.Host, At: time.Now()})
			}
			if ctx.Err() != nil || errors.Is(err, runtime.ErrUnreachable) {
				return false // as the lookup itself says
			}
			if err != nil {
				opts.notice("the registry has no note that this cluster uses its images, so that pipe images prune without this cluster may remove them: " + err.Error())
			}
			return true
		})
	}
}

// A noting builder notes beside each image that pipe has built it, and from what; see
// [registry.Registry.Note].
type noting struct {
	runtime.Builder
	images *registry.Registry
	inputs func(context.Context, plan.BuildSpec) (plan.Digest, *runtime.ImageInputs, error)
	bases  func(ref string) []runtime.BaseImage
}

// Build implements [runtime.Builder]. The note is written while the image is built, and again
// when its base images are known. A note that cannot be written does not fail the build: the
// image is then never pruned, and not explained. An image that was at ref before, such as one that
// was not signed (I15), is kept.
func (b noting) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (plan.Digest, error) {
	var made registry.Made
	noted := make(chan struct{})
	go func() {
		defer close(noted)
		_, made.Inputs, _ = b.inputs(ctx, spec) // nil: not known
		_ = b.images.Note(ctx, ref, made)
	}()
	former, _ := b.images.Resolve(ctx, ref) // empty: usually there is none
	digest, err := b.Builder.Build(ctx, spec, ref, emit)
	<-noted
	if err == nil && former != "" && former != digest {
		if err := b.images.SetAside(ctx, runtime.ByDigest(ref, former)); err != nil {
			emit(runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: spec.Pos, Message: fmt.Sprintf("the previous image of %s may be removed from the registry, although releases may name it: %v", spec.ID, err),
			}})
		}
	}
	if made.Bases = b.bases(ref); err == nil && made.Bases != nil {
		_ = b.images.Note(ctx, ref, made)
	}
	return digest, err
}
