package build

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/pipelinefile/pipe/internal/filelock"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Paths in the container of the lifecycle. The layout is below a mount of its own, whose content is all
// that leaves the container.
const (
	cnbSource   = "/workspace"
	cnbLayers   = "/layers"
	cnbEnv      = "/platform/env"
	cnbCache    = "/cache"
	cnbMount    = "/pipe"
	cnbLayout   = "/layout"   // below the mount
	cnbRunFile  = "/run.toml" // below the mount
	cnbCreator  = "/cnb/lifecycle/creator"
	cnbRunImage = "pipe.invalid/run:image" // is in the layout at pipe.invalid/run/image
	cnbAppImage = "pipe.invalid/app:image"
	cnbContext  = "context" // the name of the source, which BuildKit asks for
)

// byBuildpacks has the buildpacks of a builder image make the image of j, and pushes it. The lifecycle of
// that image runs in BuildKit, as one command, and writes its layers into an OCI image layout, from which
// pipe takes them: so it needs neither a Docker engine nor the credentials of a registry.
func (b *Builder) byBuildpacks(ctx context.Context, j job, emit runtime.Emit) (plan.Digest, error) {
	k := b.making(j.spec, j.src)
	b.sweep.Do(func() { filelock.RemoveDead("", scratchPrefix) })
	scratch, release, err := filelock.TempDir("", scratchPrefix)
	if err != nil {
		return "", err
	}
	defer release() //nolint:errcheck // what cannot be removed now, the next process removes
	made, err := b.cnbImages(ctx, j)
	if err != nil {
		return "", err
	}
	_, err = b.retry(ctx, "build "+j.spec.ID, origin(j.spec, j.ref), emit, func(n *node) (plan.Digest, error) {
		for _, m := range made {
			if m.image != nil {
				continue // of a former attempt
			}
			dir, err := os.MkdirTemp(scratch, "layout-")
			if err != nil {
				return "", err
			}
			if err := b.runLifecycle(ctx, n, j, m, dir, emit); err != nil {
				return "", err
			}
			if m.image, err = m.read(dir, path.Join(cnbLayout, cnbPath(cnbAppImage))[1:]); err != nil {
				return "", fmt.Errorf("build %s: read what the lifecycle of %s has written: %w", j.spec.ID, baseName(j.spec, plan.BuildpackBuilder), err)
			}
		}
		return "", nil
	})
	if err != nil {
		return "", err
	}
	all := j.made(made)
	r := &programs{spec: j.spec, progress: newProgress(emit, redact.URLs)}
	k.platform, _ = b.pool.platform(ctx) // known, as it has built
	pushed, err := b.pushMade(ctx, r, pushable(all), k, all, j.ref, emit)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used[j.ref] = basesOf(j.spec, plan.BuildpackBuilder, plan.BuildpackRun)
	}
	return pushed, err
}

// cnbImages returns the images of j that are to be made, one for each platform, with what their builder
// and their base say.
func (b *Builder) cnbImages(ctx context.Context, j job) ([]*cnbImage, error) {
	found := make(map[string]*remote.Descriptor)
	for _, arg := range []string{plan.BuildpackBuilder, plan.BuildpackRun} {
		of, ok := j.spec.Bases[arg]
		if !ok {
			return nil, problem(j.spec, fmt.Errorf("the build has no image %s", arg), "")
		}
		var err error
		if found[arg], err = b.opts.Pull(ctx, of.Ref); err != nil {
			return nil, err
		}
	}
	var all []*cnbImage
	for _, name := range j.src.platforms(j.spec) {
		p, err := platforms.Parse(name)
		if err != nil {
			return nil, problem(j.spec, err, "")
		}
		m := &cnbImage{platform: platforms.Normalize(p)}
		builder, err := imageFor(found[plan.BuildpackBuilder], m.platform)
		if err == nil {
			m.builder, err = builderOf(builder)
		}
		if err != nil {
			return nil, cnbProblem(j.spec, "builder", plan.BuildpackBuilder, err)
		}
		if m.run, err = imageFor(found[plan.BuildpackRun], m.platform); err != nil {
			return nil, cnbProblem(j.spec, "run image", plan.BuildpackRun, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// runLifecycle builds m on n, and writes the content of the mount of the layout into dir.
func (b *Builder) runLifecycle(ctx context.Context, n *node, j job, m *cnbImage, dir string, emit runtime.Emit) error {
	ctx, a, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer a.end()
	ctx, stop := j.src.tree.untilChanged(ctx, j.spec)
	defer stop()
	state, err := b.lifecycleOf(n, j, m)
	if err != nil {
		return err
	}
	def, err := state.Marshal(ctx, llb.Platform(m.platform))
	if err != nil {
		return err
	}
	opt := client.SolveOpt{
		Exports:     []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: dir}},
		LocalMounts: map[string]fsutil.FS{cnbContext: &j.src.tree.folder},
		Internal:    true, // as in other builds
		SharedKey:   sharedKey(j.src.tree.dir, ""),
	}
	if opt.Session, err = b.attachables(j); err != nil {
		return err
	}
	tried := &detection{}
	p := newProgress(tried.watch(emit), redact.URLs)
	_, err = a.send(ctx, def, opt, p)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return j.explainLifecycle(err, p, tried)
	}
	return nil
}

// lifecycleOf returns what BuildKit does for m: its result is the mount of the layout.
func (b *Builder) lifecycleOf(n *node, j job, m *cnbImage) (llb.State, error) {
	owner := llb.ChownOpt{User: &llb.UserOpt{UID: m.builder.uid}, Group: &llb.UserOpt{UID: m.builder.gid}}
	root := llb.Image(j.spec.Bases[plan.BuildpackBuilder].Ref, llb.Platform(m.platform), llb.WithCustomName("builder "+baseName(j.spec, plan.BuildpackBuilder)))
	for _, v := range m.builder.env {
		name, value, _ := strings.Cut(v, "=")
		root = root.AddEnv(name, value)
	}
	const parents, public = true, 0o755
	dirs := llb.Mkdir(cnbLayers, public, llb.WithParents(parents), owner).
		Mkdir(cnbSource, public, llb.WithParents(parents), owner).
		Mkdir(cnbEnv, public, llb.WithParents(parents))
	env := j.spec.Buildpack.Env
	for _, name := range slices.Sorted(maps.Keys(env)) {
		dirs = dirs.Mkfile(path.Join(cnbEnv, name), 0o644, []byte(env[name]))
	}
	files := llb.Local(cnbContext, llb.SharedKeyHint(cnbContext), llb.WithCustomName("[internal] load build context"))
	root = root.File(dirs, llb.WithCustomName("[internal] prepare the directories of the lifecycle")).
		File(llb.Copy(files, "/", cnbSource, &llb.CopyInfo{CopyDirContentsOnly: true, ChownOpt: &owner}), llb.WithCustomName("copy the source"))

	mount, err := m.runLayout(owner, baseName(j.spec, plan.BuildpackRun))
	if err != nil {
		return llb.State{}, err
	}
	layout := cnbMount + cnbLayout
	args := []string{
		cnbCreator, "-app", cnbSource, "-layers", cnbLayers, "-platform", path.Dir(cnbEnv), "-cache-dir", cnbCache,
		"-run", cnbMount + cnbRunFile, "-run-image", cnbRunImage, "-layout", "-layout-dir", layout, "-no-color", cnbAppImage,
	}
	opts := []llb.RunOption{
		llb.Args(args), llb.Dir(cnbSource),
		llb.AddEnv("CNB_PLATFORM_API", m.builder.api),
		llb.AddEnv("CNB_EXPERIMENTAL_MODE", "quiet"), // layouts are an experimental feature in all versions so far
		// The cache of the layers that the buildpacks keep for the next build, one for each image. Two
		// lifecycles that write to it would damage it.
		llb.AddMount(cnbCache, llb.Scratch(), llb.AsPersistentCacheDir(j.cnbCacheID(m.platform), llb.CacheMountLocked)),
		llb.WithCustomName(lifecycleStep + baseName(j.spec, plan.BuildpackBuilder)),
	}
	if n.takesLimits() {
		opts = append(opts, llb.WithLinuxResources(n.limits(b.opts.Limits).resources()))
	}
	return root.Run(opts...).AddMount(cnbMount, mount), nil
}

// lifecycleStep begins the name of the step that runs the lifecycle.
const lifecycleStep = "buildpacks of "

// cnbCacheID names the cache of the layers of an image: it belongs to the repository that the image is
// stored in, as the image itself does.
func (j job) cnbCacheID(p ocispecs.Platform) string {
	repository, _, _ := plan.CutImage(j.ref)
	return "pipe-buildpack-" + strings.TrimPrefix(string(plan.DigestOf([]byte(repository+"\x00"+platforms.Format(p)))), "sha256:")[:32]
}
