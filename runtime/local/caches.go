package local

import (
	"context"
	"errors"

	"github.com/pipelinefile/pipe/runtime/build"
)

// WithBuilders calls do with the builders that opts name, or with the embedded one. Their caches can be
// shown and pruned, but they cannot build: they have no registry.
func WithBuilders(opts Options, do func(*build.Builder) error) error {
	tls, err := builderTLS(opts.BuildKitTLS)
	if err != nil {
		return err
	}
	embedded := embeddedBuilder(opts)
	b := build.New(build.Options{
		Addresses: opts.BuildKit,
		Farm: func(ctx context.Context, farm build.FarmAddress) ([]build.Member, error) {
			return opts.farm(ctx, farm, "")
		},
		Start: embedded.addr,
		TLS:   tls,
	})
	return errors.Join(do(b), b.Close(), embedded.Close())
}
