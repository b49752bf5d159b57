package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// openParts opens a runtime as the flags, the variables and the Pipelinefile
// configure it. A passive one starts nothing.
func (a *app) openParts(ctx context.Context, cmd *cobra.Command, f partFlags, e evaluation, passive bool) (*local.Runtime, error) {
	opts, err := a.partOptions(cmd, f, e, passive)
	if err != nil {
		return nil, err
	}
	return a.openWith(ctx, cmd, opts)
}

// openWarm is openParts for watch mode, which keeps state between runs.
func (a *app) openWarm(ctx context.Context, cmd *cobra.Command, f partFlags, e evaluation) (*local.Runtime, error) {
	opts, err := a.partOptions(cmd, f, e, false)
	if err != nil {
		return nil, err
	}
	opts.Warm = true
	opts.NoSBOM = true // scanning takes longer than many builds
	return a.openWith(ctx, cmd, opts)
}

func (a *app) openWith(ctx context.Context, cmd *cobra.Command, opts local.Options) (*local.Runtime, error) {
	var wrong *local.UnavailableError
	if errors.As(opts.Check(), &wrong) {
		return nil, usagef(cmd, "%w; %s", wrong, ui.Advice(wrong.Advice()))
	}
	return a.open(ctx, opts)
}

// partOptions collects the configuration of the parts.
func (a *app) partOptions(cmd *cobra.Command, f partFlags, e evaluation, passive bool) (local.Options, error) {
	if f.local && (f.kubeconfig != "" || f.context != "") {
		return local.Options{}, usagef(cmd, "--local uses its own cluster: omit --kubeconfig and --context")
	}
	secrets, err := a.secrets(cmd, f.secrets)
	if err != nil {
		return local.Options{}, err
	}
	opts := local.Options{
		Dir:        e.workspace,
		Home:       a.home(),
		Executable: a.exe,
		Registry:   f.registry,
		BuildKit:   f.buildkit,
		BuildCache: f.cache,
		Kubeconfig: f.kubeconfig,
		Context:    f.context,
		Local:      f.local,
		Passive:    passive,
		Secrets:    secrets,
		Hide:       secretRefs(e.plan),

		StateNamespace: f.state,
		KeepRuns:       f.keepRuns,
	}
	if f.tls != "" {
		opts.BuildKitTLS = a.abs(f.tls)
	}
	if opts.Registry == "" && e.plan != nil {
		opts.Registry = e.plan.Pipeline.Registry
	}
	if e.plan != nil {
		opts.SBOM, opts.NoSBOM = e.plan.Pipeline.SBOM, e.plan.Pipeline.NoSBOM
	}
	if host, _ := a.env("BUILDKIT_HOST"); len(opts.BuildKit) == 0 && host != "" {
		opts.BuildKit = []string{host}
	}
	if err := checkCredentials(cmd, opts); err != nil {
		return local.Options{}, err
	}
	if opts.Kubeconfig != "" {
		opts.Kubeconfig = a.abs(opts.Kubeconfig)
	}
	for _, name := range []string{"PATH", "HOME"} { // of the programs that make images, which get nothing else
		if value, ok := a.env(name); ok {
			opts.Environ = append(opts.Environ, name+"="+value)
		}
	}
	view := a.current()
	opts.Progress = func(what string) { view.Doing(what) }
	opts.Notice = func(what string) { view.Note(what) }
	return opts, nil
}

// checkCredentials rejects addresses that contain credentials, as the language
// does: they would appear in messages and process lists.
func checkCredentials(cmd *cobra.Command, opts local.Options) error {
	if held := redact.Credentials(opts.Registry); held != "" {
		return usagef(cmd, "the address of the registry contains %s: remove it and log in with: docker login HOST", held)
	}
	if held := redact.Credentials(opts.BuildCache); held != "" {
		return usagef(cmd, "the address of the cache of builds contains %s: remove it and log in with: docker login HOST", held)
	}
	for _, addr := range opts.BuildKit {
		if held := redact.Credentials(addr); held != "" {
			return usagef(cmd, "the address of the builder contains %s: remove it; a builder at tcp:// authenticates clients by certificate: --buildkit-tls", held)
		}
	}
	return nil
}

// openCluster opens a cluster without builder and registry.
func (a *app) openCluster(ctx context.Context, cmd *cobra.Command, f partFlags) (*local.Cluster, error) {
	opts, err := a.partOptions(cmd, f, evaluation{workspace: a.dir}, false)
	if err != nil {
		return nil, err
	}
	return a.cluster(ctx, opts)
}

// closeParts closes the parts. A failure does not change the result of the
// command.
func (a *app) closeParts(rt *local.Runtime) {
	if err := rt.Close(); err != nil {
		a.note("closing: " + err.Error())
	}
}

// home returns the directory of pipe's state on this machine.
func (a *app) home() string {
	if dir, _ := a.env("PIPE_HOME"); dir != "" {
		return a.abs(dir)
	}
	if dir, _ := a.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "pipe")
	}
	dir, _ := a.env("HOME")
	if dir == "" {
		dir, _ = a.env("USERPROFILE")
	}
	return filepath.Join(dir, ".local", "state", "pipe")
}

// secrets opens the sources of --secrets; none without the flag.
func (a *app) secrets(cmd *cobra.Command, sources []string) (runtime.Secrets, error) {
	var all local.Secrets
	for _, source := range sources {
		if prefix, ok := strings.CutPrefix(source, "env:"); ok {
			all = append(all, local.EnvSecrets(prefix, a.environ))
			continue
		}
		var file *local.Source
		var err error
		if source == "-" {
			file, err = a.secretsFromInput()
		} else {
			file, err = local.FileSecrets(a.abs(source))
		}
		if err != nil {
			return nil, usagef(cmd, "--secrets %s: %w", source, err)
		}
		all = append(all, file)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// maxSecrets limits the size of standard input, in bytes.
const maxSecrets = 16 << 20

func (a *app) secretsFromInput() (*local.Source, error) {
	data, err := io.ReadAll(io.LimitReader(a.stdin, maxSecrets+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSecrets:
		return nil, fmt.Errorf("standard input has more than %d bytes", maxSecrets)
	}
	return local.ReadSecrets("standard input", data)
}

// secretRefs returns the secrets that a plan refers to.
func secretRefs(p *plan.Plan) []plan.SecretRef {
	if p == nil {
		return nil
	}
	refs := p.Pipeline.Sign.Refs()
	for _, b := range p.Builds {
		refs = append(refs, b.Secrets...)
	}
	for _, s := range p.Services {
		for _, ref := range s.SecretRefs() {
			if ref.Service == "" {
				refs = append(refs, ref)
			}
		}
	}
	return refs
}
