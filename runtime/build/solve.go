package build

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/tonistiigi/fsutil"

	"github.com/pipelinefile/pipe/internal/mirrors"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A job is one build, with everything that is determined before it starts.
type job struct {
	spec    plan.BuildSpec
	src     *source
	ref     string
	secrets map[string]runtime.Secret
	scanner Scanner // makes the SBOM
}

// solve builds and pushes j on n, once. to is where it is pushed: the reference of the image, or
// that of the index with its provenance. If the registry of the cache is silent, it builds without
// the cache.
func (b *Builder) solve(ctx context.Context, n *node, j job, to string, emit runtime.Emit) (plan.Digest, error) {
	made, err := b.solveWith(ctx, n, j, to, b.cacheRef(j), emit)
	var silent *silentCacheError
	if !errors.As(err, &silent) {
		return made, err
	}
	b.avoidCache()
	silent.warn(j, emit)
	return b.solveWith(ctx, n, j, to, "", emit)
}

// solveWith is solve with the cache at a reference; "" is none.
func (b *Builder) solveWith(ctx context.Context, n *node, j job, to, cache string, emit runtime.Emit) (plan.Digest, error) {
	ctx, a, err := n.begin(ctx)
	if err != nil {
		return "", err
	}
	defer a.end()
	opt := client.SolveOpt{
		Frontend:      "dockerfile.v0",
		FrontendAttrs: b.attrs(j, n.limits(b.opts.Limits)),
		Exports:       []client.ExportEntry{{Type: client.ExporterImage, Attrs: b.export(to)}},
		Internal:      true, // keeps no record, which would include the output of commands
	}
	if to != j.ref {
		// Without the build arguments, as those of mode=max may be anything.
		opt.FrontendAttrs["attest:provenance"] = "mode=min,builder-id=" + provenanceBuilder
		opt.Exports[0].Attrs["oci-artifact"] = "true" // the provenance names the image as its subject
		if j.scanner.Image != "" {
			opt.FrontendAttrs["attest:sbom"] = "generator=" + j.scanner.Image
		}
	}
	if n.groupsCommands() {
		opt.FrontendAttrs["cpushares"] = groupName()
	}
	b.cache(&opt, cache)
	if opt.Session, err = b.attachables(j); err != nil {
		return "", err
	}
	from := &sources{tags: &b.tags, scanner: j.scanner.Image}
	if n.reports() {
		opt.SourcePolicyProvider = policysession.NewPolicyProvider(from.check)
	}
	ctx, stop := j.src.tree.untilChanged(ctx, j.spec)
	defer stop()
	id, release, err := n.contexts.share(n.sessions(a.connection), j.src.tree, j.spec.Dockerfile)
	if err != nil {
		return "", err
	}
	defer release()
	opt.FrontendAttrs["local-sessionid:context"] = id
	opt.LocalMounts = map[string]fsutil.FS{"dockerfile": j.src.dockerfile}
	opt.SharedKey = sharedKey(j.src.tree.dir, j.spec.Dockerfile)

	p := newProgress(emit, hider(j.secrets, j.ref, j.spec.ID, j.spec.Source.Git, j.spec.Source.Path, j.spec.Context, j.spec.Dockerfile, j.spec.Target))
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	p.cache.patience, p.cache.silent = n.pool.patience, func(doing string) {
		giveUp(&silentCacheError{ref: cache, doing: doing, after: n.pool.patience})
	}
	defer p.cache.stop()
	resp, err := a.send(ctx, nil, opt, p)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", explain(err, j, p)
	}
	p.cache.warn(j, cache, p.hide, emit)
	digest := resp.ExporterResponse[exptypes.ExporterImageDigestKey]
	if digest == "" {
		return "", errors.New("BuildKit did not report the digest of the pushed image")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used[j.ref] = from.bases()
	return plan.Digest(digest), nil
}

// attrs returns the attributes of the Dockerfile frontend.
func (b *Builder) attrs(j job, limits Limits) map[string]string {
	attrs := map[string]string{
		// This tells the frontend that a "# syntax=" line has been handled, so it does not
		// pull another frontend image.
		"cmdline":                     "builtin",
		"filename":                    dockerfileName,
		"platform":                    strings.Join(j.spec.Platforms, ","),
		"build-arg:SOURCE_DATE_EPOCH": "0",
	}
	if j.src.platform != "" {
		attrs["platform"] = j.src.platform
	}
	if j.spec.Target != "" {
		attrs["target"] = j.spec.Target
	}
	for _, k := range slices.Sorted(maps.Keys(j.spec.Args)) {
		attrs["build-arg:"+k] = j.spec.Args[k]
	}
	for arg, base := range j.spec.Bases {
		attrs["build-arg:"+arg] = base.Ref
	}
	for _, k := range slices.Sorted(maps.Keys(j.spec.Labels)) {
		attrs["label:"+k] = j.spec.Labels[k]
	}
	limits = limits.orDefault()
	// The limits are not part of BuildKit's cache keys.
	if limits.CPU > 0 {
		attrs["cpuperiod"] = strconv.Itoa(cpuPeriod)
		attrs["cpuquota"] = strconv.FormatInt(int64(limits.CPU*cpuPeriod), 10)
	}
	if limits.Memory > 0 {
		attrs["memory"] = strconv.FormatInt(limits.Memory, 10)
	}
	return attrs
}

// export returns the attributes of the image exporter.
func (b *Builder) export(ref string) map[string]string {
	attrs := b.access(ref)
	attrs["name"], attrs["push"], attrs["oci-mediatypes"] = ref, "true", "true"
	attrs["rewrite-timestamp"] = strconv.FormatBool(b.opts.Reproducible)
	return attrs
}

// access returns the attributes of exporters that depend on the registry.
func (b *Builder) access(ref string) map[string]string {
	host, _, _ := strings.Cut(ref, "/")
	switch {
	case mirrors.IsLoopback(host):
		// Compression takes most of the time of many builds, and zstd takes a third of the
		// time of gzip. Clients that pull from loopback are on this machine and support zstd;
		// clients of other registries may not.
		return map[string]string{"compression": "zstd"}
	case slices.Contains(b.opts.PlainHTTP, host):
		return map[string]string{"registry.insecure": "true"}
	}
	return map[string]string{}
}
