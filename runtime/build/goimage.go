package build

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// compiler returns the version of the go command that builds spec, which it reads without running
// it: the identity of an image is looked up by verbs that run nothing. A go.mod that requires a newer
// version is part of the content.
func (b *Builder) compiler(spec plan.BuildSpec) (string, error) {
	const next = "install Go, or run where it is installed"
	file, err := findProgram("go", "", append(b.opts.Environ[:len(b.opts.Environ):len(b.opts.Environ)], pathOf(spec.Go.Env)...))
	if err != nil {
		return "", problem(spec, err, "")
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return "", problem(spec, err, next)
	}
	version, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(file)), "VERSION"))
	first, _, _ := strings.Cut(string(version), "\n")
	if first = strings.TrimSpace(first); err != nil || first == "" {
		return "", problem(spec, fmt.Errorf("the version of %s is not known: it is not in an installation of Go, which has a file VERSION", file), next)
	}
	return first, nil
}

// pathOf returns the PATH of an environment.
func pathOf(env map[string]string) []string {
	if value, ok := env["PATH"]; ok {
		return []string{"PATH=" + value}
	}
	return nil
}

// baseName returns the name of the image of an argument: that which it was given, or the reference of
// the image of another service.
func baseName(spec plan.BuildSpec, arg string) string {
	return cmp.Or(spec.ImageArgs[arg].Mirror, spec.Bases[arg].Ref)
}

// basesOf returns the images of these arguments, as they were named; nil: a digest is not known.
func basesOf(spec plan.BuildSpec, args ...string) []runtime.BaseImage {
	all := []runtime.BaseImage{}
	for _, arg := range args {
		of, ok := spec.Bases[arg]
		if !ok {
			continue
		}
		_, digest, _ := strings.Cut(of.Ref, "@")
		if digest == "" { // a tag that could not be looked up
			return nil
		}
		name, tag, pin := plan.CutImage(baseName(spec, arg))
		if tag != "" {
			name += ":" + tag
		}
		all = append(all, runtime.BaseImage{Image: name, Digest: plan.Digest(digest), Pinned: pin != ""})
	}
	return all
}

// goImage compiles the program of the build, and returns its image.
func (r *programs) goImage(ctx context.Context) (remote.Taggable, error) {
	var base *remote.Descriptor
	if from, ok := r.spec.Bases[plan.GoBase]; ok {
		var err error
		if base, err = r.builder.opts.Pull(ctx, from.Ref); err != nil {
			return nil, err
		}
	}
	for _, name := range r.platforms {
		p, err := platforms.Parse(name)
		if err != nil {
			return nil, problem(r.spec, err, "")
		}
		p = platforms.Normalize(p)
		made, err := r.goProgram(ctx, base, p)
		if err != nil {
			return nil, err
		}
		r.made = append(r.made, made)
	}
	return pushable(r.made), nil
}

func platformIn(p ocispecs.Platform) *v1.Platform {
	return &v1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
}

// goProgram compiles the program for a platform, and returns its image.
func (r *programs) goProgram(ctx context.Context, base *remote.Descriptor, p ocispecs.Platform) (made madeImage, err error) {
	g := r.spec.Go
	to := strings.ReplaceAll(platforms.Format(p), "/", "_")
	file := filepath.Join(r.scratch, to)
	env := r.environ(g.Env, "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOOS="+p.OS, "GOARCH="+p.Architecture)
	for name, value := range map[string]string{"GOENV": "off", "GOAMD64": "v1", "GOARM64": "v8.0"} {
		// The settings of this user are not part of the identity.
		if _, given := g.Env[name]; !given {
			env = append(env, name+"="+value)
		}
	}
	if level, ok := strings.CutPrefix(p.Variant, "v"); ok {
		switch p.Architecture {
		case "arm":
			env = append(env, "GOARM="+level)
		case "amd64":
			env = append(env, "GOAMD64=v"+level)
		}
	}
	dir, err := below(r.top, path.Join(r.spec.Source.Path, g.Package))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !isFolder(dir):
		return madeImage{}, r.wrong(fmt.Errorf("there is no directory %s, the package", path.Join(r.spec.Source.Path, g.Package)))
	case err != nil:
		return madeImage{}, r.wrong(fmt.Errorf("the package %s: %w", g.Package, err))
	}
	flags := append([]string{"-buildvcs=false"}, g.Flags...)
	if err := r.onlyInputs(ctx, dir, env, flags); err != nil {
		return madeImage{}, err
	}
	args := append(append([]string{"go", "build", "-o", file}, flags...), ".")
	name := clip(append(append([]string{"go", "build"}, g.Flags...), "./"+path.Clean(g.Package), "for", platforms.Format(p)))
	if err := r.run(ctx, process{name: name, args: args, env: env, dir: dir}); err != nil {
		return madeImage{}, err
	}
	image, err := r.baseFor(base, p)
	if err != nil {
		return madeImage{}, err
	}
	if image, err = withProgram(image, file, g.Program()); err != nil {
		return madeImage{}, err
	}
	made = madeImage{image: image, platform: platformIn(p)}
	var version string
	if made.packages, version, made.unknown = goPackages(file, basesOf(r.spec, plan.GoBase)); made.unknown == nil {
		made.tools = map[string]string{"go": version} // may be newer than the go command, which can fetch another one
	}
	return made, nil
}

// goPackage is what go list says of a package.
type goPackage struct {
	Dir        string
	Name       string
	DepOnly    bool // it is not the one that was asked for
	Standard   bool
	GoFiles    []string
	SFiles     []string
	HFiles     []string
	SysoFiles  []string
	EmbedFiles []string
	Module     *struct{ Main bool }
}

// onlyInputs returns an error if the program is compiled from files that are not part of the identity
// of the image: files outside of the source, or those that .dockerignore excludes. Modules of others
// are fetched by their digests, which are in go.sum.
func (r *programs) onlyInputs(ctx context.Context, dir string, env, flags []string) error {
	var out bytes.Buffer
	run := func(name string, args ...string) error {
		out.Reset()
		return r.run(ctx, process{name: name, args: append([]string{"go"}, args...), env: env, dir: dir, stdout: &out})
	}
	if err := run("go env", "env", "-json", "GOMOD", "GOWORK", "GOMODCACHE"); err != nil {
		return err
	}
	var at struct{ GOMOD, GOWORK, GOMODCACHE string }
	if err := json.Unmarshal(out.Bytes(), &at); err != nil {
		return r.wrong(err)
	}
	if at.GOMOD == "" || at.GOMOD == os.DevNull {
		return r.wrong(fmt.Errorf("%s is not in a module: there is no go.mod in the source", r.spec.Go.Package))
	}
	also := []string{at.GOMOD, filepath.Join(filepath.Dir(at.GOMOD), "go.sum"), filepath.Join(filepath.Dir(at.GOMOD), "vendor", "modules.txt"), filepath.Join(dir, "default.pgo")}
	if at.GOWORK != "" && at.GOWORK != "off" {
		also = append(also, at.GOWORK, strings.TrimSuffix(at.GOWORK, ".work")+".work.sum")
	}
	for _, file := range also {
		if _, err := os.Stat(file); err == nil {
			if err := r.isInput(file); err != nil {
				return err
			}
		}
	}
	args := append([]string{"list", "-deps", "-json=Dir,Name,DepOnly,Standard,GoFiles,SFiles,HFiles,SysoFiles,EmbedFiles,Module"}, flags...)
	if err := run("go list ./"+path.Clean(r.spec.Go.Package), append(args, ".")...); err != nil {
		return err
	}
	for all := json.NewDecoder(&out); ; {
		var p goPackage
		err := all.Decode(&p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return r.wrong(err)
		}
		if !p.DepOnly && p.Name != "main" {
			return r.wrong(fmt.Errorf("the package %s in %s is not a main package, so there is no program", p.Name, r.spec.Go.Package))
		}
		if _, fetched := within(at.GOMODCACHE, p.Dir); p.Standard || fetched && (p.Module == nil || !p.Module.Main) {
			continue
		}
		for _, files := range [][]string{p.GoFiles, p.SFiles, p.HFiles, p.SysoFiles, p.EmbedFiles} {
			for _, file := range files {
				if err := r.isInput(filepath.Join(p.Dir, file)); err != nil {
					return err
				}
			}
		}
	}
}

// within returns the slash-separated path of a file below a directory.
func within(dir, file string) (rest string, ok bool) {
	rest, err := filepath.Rel(dir, file)
	return filepath.ToSlash(rest), dir != "" && err == nil && filepath.IsLocal(rest)
}

// isInput returns an error if a file is not part of the identity.
func (r *programs) isInput(file string) error {
	rest, ok := within(r.dir, file)
	switch {
	case !ok:
		return r.wrong(fmt.Errorf("the program is compiled from %s, which is outside of the source: take a directory above as the source, with source = local(…)", file))
	case r.src.tree.find(rest) == nil:
		return r.wrong(fmt.Errorf("the program is compiled from %s, which a line of .dockerignore excludes, so that a change of it would not be noticed", rest))
	}
	return nil
}

// baseFor returns the base image for a platform.
func (r *programs) baseFor(base *remote.Descriptor, p ocispecs.Platform) (v1.Image, error) {
	if base == nil {
		image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		return mutate.ConfigFile(image, &v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, RootFS: v1.RootFS{Type: "layers"}})
	}
	image, err := imageFor(base, p)
	var other *otherPlatformError
	if errors.As(err, &other) {
		return nil, r.wrong(fmt.Errorf("the base image %s %w", baseName(r.spec, plan.GoBase), err))
	}
	return image, err
}

// withProgram returns an image with a program at a path, which it starts. The same program on the same
// base is the same image, whenever and wherever it was made.
func withProgram(base v1.Image, file, at string) (v1.Image, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	name := strings.TrimPrefix(at, "/")
	err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path.Dir(name) + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
	if err == nil {
		err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(0, 0)})
	}
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	layerType := types.DockerLayer
	if t, err := base.MediaType(); err == nil && t == types.OCIManifestSchema1 {
		layerType = types.OCILayer
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }, tarball.WithMediaType(layerType))
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: time.Unix(0, 0).UTC()}
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "go_image"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = created
	config.Config.Entrypoint, config.Config.Cmd = []string{at}, nil
	return mutate.ConfigFile(image, config)
}
