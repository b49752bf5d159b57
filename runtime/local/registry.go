package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/internal/background"
	"github.com/pipelinefile/pipe/internal/mirrors"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/registry/serve"
)

// Registry returns the options of the embedded registry in a home directory.
func Registry(home, executable string) serve.Options {
	return serve.Options{Dir: filepath.Join(home, "registry"), Executable: executable}
}

// registry returns the registry that opts name, or the embedded one, which
// is started if it has ended. If opts are passive, it is not created.
func (r *Runtime) registry(ctx context.Context, opts Options) (runtime.Registry, error) {
	prefix := opts.Registry
	var at *attachment // of the embedded one
	if prefix == "" {
		embedded := Registry(opts.Home, opts.Executable)
		embedded.Progress = func(what string) { opts.progress("embedded registry: " + what) }
		if _, err := os.Stat(embedded.Dir); opts.Passive && err != nil {
			return nil, &UnavailableError{"registry", errors.New("the embedded registry does not exist yet"), "a run creates it; or use another registry", []string{"Registry"}}
		}
		at = &attachment{
			part:     "registry",
			home:     opts.Home,
			next:     "see " + filepath.Join(embedded.Dir, "registry.log") + ", or use another registry",
			option:   "Registry",
			ensure:   func(ctx context.Context) (*background.Attached, error) { return serve.Ensure(ctx, embedded) },
			progress: opts.progress,
			notice:   opts.notice,
		}
		r.close = append(r.close, at.Close)
		addr, err := at.addr(ctx)
		if err != nil {
			return nil, err
		}
		prefix = addr
	}
	if at == nil {
		reg, err := named(registry.Options{Prefix: prefix, Registries: mirrors.File(opts.Home), Shared: true})
		r.images = reg
		return reg, err
	}
	dir := Registry(opts.Home, opts.Executable).Dir
	reg, err := named(registry.Options{Prefix: prefix, Registries: mirrors.File(opts.Home), Locks: filepath.Join(opts.Home, "cache", "builds"), Password: func() (string, string, error) {
		password, err := serve.Password(dir)
		return serve.Writer, password, err
	}, Notice: func(text string) { opts.notice("embedded registry: " + text) }, Log: filepath.Join(dir, "registry.log")})
	if err != nil {
		return nil, err
	}
	r.images = reg
	r.embedded = &trusted{Registry: reg, prefix: prefix, dir: dir, pushed: pushed{filepath.Join(dir, "pushed")}, passive: opts.Passive, notice: opts.notice}
	return revived{r.embedded, at}, nil
}

// checkRegistries returns an error for a mistake in registries.conf (I8).
func (o Options) checkRegistries() error {
	_, err := mirrors.Read(mirrors.File(o.Home))
	if err == nil {
		return nil
	}
	return &UnavailableError{"registry", err, mirrors.Next(err), nil}
}

// password returns the credentials for pushing to the embedded registry. It is called
// when something is pushed, because the registry is opened after the builder.
func (r *Runtime) password(host string) (user, password string, ok bool) {
	if r.embedded == nil || host != r.embedded.prefix {
		return "", "", false
	}
	password, err := serve.Password(r.embedded.dir)
	return serve.Writer, password, err == nil
}

// named returns the registry with that name.
func named(o registry.Options) (*registry.Registry, error) {
	reg, err := registry.New(o)
	if err != nil {
		return nil, &UnavailableError{"registry", err, "name a registry such as registry.example.com/shop", []string{"Registry"}}
	}
	return reg, nil
}
