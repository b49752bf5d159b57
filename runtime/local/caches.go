package local

import (
	"context"
	"errors"

	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// WithBuilders calls do with the builders that opts name, or the embedded one. They can only be looked
// at and pruned: they have no registry.
func WithBuilders(opts Options, do func(*build.Builder) error) error {
	tls, err := builderTLS(opts.BuildKitTLS)
	if err != nil {
		return err
	}
	embedded := &attachment{part: "builder", home: opts.Home, next: "install what is missing, or use another builder", option: "BuildKit", ensure: daemon.Background{
		Home: opts.Home, Executable: opts.Executable, Progress: func(what string) { opts.progress("embedded builder: " + what) },
	}.Ensure, progress: opts.progress, notice: opts.notice}
	b := build.New(build.Options{
		Addresses: opts.BuildKit,
		Farm:      func(ctx context.Context, farm build.Farm) ([]build.Member, error) { return opts.farm(ctx, farm, "") },
		Start:     embedded.addr,
		TLS:       tls,
	})
	return errors.Join(do(b), b.Close(), embedded.Close())
}
