package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/dockerignore"
	"github.com/pipelinefile/pipe/runtime/internal/workspace"
)

// schema is the version of identities. It must change when the same sources would result in a
// different image; all images are then built again.
const schema = "pipe image 1"

// A source is what an image is built from, at one point in time.
type source struct {
	identity plan.Digest
	platform string // the default platform, used if the specification has none
	compiler string // the version of the go command; empty if it is not used

	// A local context, or one in a checkout; nil if the checkout is not needed.
	tree       *tree
	dockerfile *folder // contains the Dockerfile, under the name Dockerfile, and its own .dockerignore
	unused     string  // a .dockerignore beside the Dockerfile that does not apply; usually empty

	commit string // of a git source
	top    string // of a git source: its checkout, which others use, too; empty if it is not needed
	where  string // that it is in a checkout, for errors: empty, or " in COMMIT of URL"
}

// An opening says what is known about a source, and what is needed.
type opening struct {
	commit   string       // that the ref of a git source was resolved to before; usually empty
	contents bool         // the files of a git source are needed, too
	emit     runtime.Emit // receives the events of a fetch; may be nil
}

// identified is the content of an identity. Its JSON is the input of the hash, so the names
// of its fields are part of the schema.
type identified struct {
	Schema     string
	Context    plan.Digest       `json:",omitempty"` // of a local context
	Commit     string            `json:",omitempty"`
	Path       string            `json:",omitempty"` // of the context in the commit
	Dockerfile string            // its content; with a commit, its path
	Target     string            `json:",omitempty"`
	Args       map[string]string `json:",omitempty"`
	Platforms  []string
	Secrets    []plan.SecretRef       `json:",omitempty"`
	Labels     map[string]string      `json:",omitempty"`
	Bases      map[string]plan.Digest `json:",omitempty"` // the identities of images, by argument
	Command    *identifiedCommand     `json:",omitempty"`
	Go         *identifiedGo          `json:",omitempty"`
	Buildpack  *plan.Buildpack        `json:",omitempty"` // its builder and its base are two of the Bases
}

// identifiedCommand is what an identity has of a command: its inputs are the context.
type identifiedCommand struct {
	Args   []string
	Env    map[string]string `json:",omitempty"`
	Output string            `json:",omitempty"`
	Image  string            `json:",omitempty"`
}

// identifiedGo is what an identity has of a Go program: its base image is one of the Bases.
type identifiedGo struct {
	Package string
	Flags   []string          `json:",omitempty"`
	Env     map[string]string `json:",omitempty"`
	Version string            // of the go command
}

// platforms returns the platforms of the image of spec.
func (s *source) platforms(spec plan.BuildSpec) []string {
	if len(spec.Platforms) > 0 {
		return spec.Platforms
	}
	return []string{s.platform}
}

// open determines the source of spec.
func (b *Builder) open(ctx context.Context, spec plan.BuildSpec, at opening) (*source, error) {
	src := &source{}
	id := identified{
		Schema: schema, Target: spec.Target, Args: spec.Args,
		Secrets: spec.Secrets, Labels: spec.Labels,
	}
	for arg, base := range spec.Bases {
		if id.Bases == nil {
			id.Bases = make(map[string]plan.Digest)
		}
		id.Bases[arg] = base.Identity
	}
	var err error
	if id.Platforms, err = b.pool.platforms(ctx, spec); err != nil {
		return nil, err
	}
	if len(spec.Platforms) == 0 {
		src.platform = id.Platforms[0]
	}
	if c := spec.Command; c != nil {
		id.Command = &identifiedCommand{c.Args, c.Env, c.Output, c.Image}
	}
	if g := spec.Go; g != nil {
		if src.compiler, err = b.compiler(spec); err != nil {
			return nil, err
		}
		id.Go = &identifiedGo{g.Package, g.Flags, g.Env, src.compiler}
	}
	id.Buildpack = spec.Buildpack
	if spec.Source.Git != "" {
		err = b.openGit(ctx, spec, src, &id, at)
	} else {
		err = b.openLocal(ctx, spec, b.opts.Dir, src)
		if err == nil {
			id.Context, id.Dockerfile = src.tree.digest, src.text()
		}
	}
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	src.identity = plan.DigestOf(data)
	return src, nil
}

// text returns the content of a local Dockerfile, or "" if there is none.
func (s *source) text() string {
	if s.dockerfile == nil {
		return ""
	}
	for i := range s.dockerfile.entries {
		if e := &s.dockerfile.entries[i]; e.path == dockerfileName {
			return string(e.data)
		}
	}
	return ""
}

// dockerfileName is the name under which BuildKit sees each local Dockerfile, so that its
// real name makes no difference.
const dockerfileName = "Dockerfile"

// openLocal reads the Dockerfile, if there is one, and the context of spec. It reads nothing outside
// of top, not even through symbolic links.
func (b *Builder) openLocal(ctx context.Context, spec plan.BuildSpec, top string, src *source) error {
	next := "name another with source = local(…)"
	if spec.Dockerfile != "" {
		if err := openDockerfile(spec, top, src); err != nil {
			return err
		}
		next += " or build = dockerfile(context = …)"
	}
	shown := path.Join(spec.Source.Path, spec.Context)
	dir, err := below(top, shown)
	switch {
	case errors.Is(err, workspace.ErrOutside):
		return problem(spec, fmt.Errorf("the build context %s%s %w", shown, src.where, err), next)
	case err != nil:
		return problem(spec, fmt.Errorf("there is no directory %s, the build context%s", shown, src.where), next)
	case !isFolder(dir):
		return problem(spec, fmt.Errorf("the build context %s%s is not a directory", shown, src.where), next)
	}
	patterns, err := dockerignore.Patterns(spec, func(names ...string) ([]string, error) { return ignored(top, names, src.dockerfile) })
	if err != nil {
		return problem(spec, err, "")
	}
	src.tree, err = b.walk(ctx, dir, patterns)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		next := ""
		if errors.Is(err, fs.ErrPermission) {
			next = "make it readable, or leave it out with a line in .dockerignore"
		}
		return problem(spec, fmt.Errorf("read the build context %s: %w", shown, err), next)
	}
	if !spec.UsesBuildKit() {
		src.tree = src.tree.files()
	}
	return nil
}

// openDockerfile reads the Dockerfile of spec.
func openDockerfile(spec plan.BuildSpec, top string, src *source) error {
	shown := path.Join(spec.Source.Path, spec.Dockerfile)
	file, err := below(top, shown)
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	switch {
	case errors.Is(err, workspace.ErrOutside):
		return problem(spec, fmt.Errorf("the Dockerfile %s%s %w", shown, src.where, err), "")
	case errors.Is(err, fs.ErrNotExist):
		return problem(spec, fmt.Errorf("there is no Dockerfile %s%s", shown, src.where), "write it, or name another with build = dockerfile(file = …)")
	case err != nil && isFolder(file):
		return problem(spec, fmt.Errorf("the Dockerfile %s%s is a directory", shown, src.where), "name the file with build = dockerfile(file = …)")
	case err != nil:
		return problem(spec, fmt.Errorf("read Dockerfile %s: %w", shown, err), "")
	}
	src.dockerfile = &folder{entries: []entry{{path: dockerfileName, mode: 0o644, data: text, size: int64(len(text))}}}
	src.unused = unusedIgnore(top, spec)
	return nil
}

// ignored returns the patterns in the first of the named files that exists. The Dockerfile's own
// .dockerignore, which is the first of two, is sent with it.
func ignored(top string, names []string, dockerfile *folder) ([]string, error) {
	for i, shown := range names {
		file, err := below(top, shown)
		var text []byte
		if err == nil {
			text, err = os.ReadFile(file)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", shown, err)
		}
		if i < len(names)-1 {
			dockerfile.entries = append(dockerfile.entries,
				entry{path: dockerfileName + ".dockerignore", mode: 0o644, data: text, size: int64(len(text))})
		}
		patterns, err := dockerignore.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shown, err)
		}
		return patterns, nil
	}
	return nil, nil
}

// unusedIgnore returns a .dockerignore beside a Dockerfile that is not at the top of the
// context: whoever wrote it expects that it applies, but only one that is named after the
// Dockerfile does.
func unusedIgnore(top string, spec plan.BuildSpec) string {
	names := dockerignore.Names(spec)
	shown := path.Join(path.Dir(names[0]), ".dockerignore")
	exists := func(shown string) bool {
		_, err := below(top, shown)
		return err == nil
	}
	if shown == names[1] || !exists(shown) || exists(names[0]) {
		return ""
	}
	return shown
}

// walk reads the context in a directory. Concurrent calls for the same context share the
// work.
func (b *Builder) walk(ctx context.Context, dir string, patterns []string) (*tree, error) {
	key := dir + "\x00" + strings.Join(patterns, "\x00")
	return b.walks.Do(ctx, key, nil, func(ctx context.Context, _ runtime.Emit) (*tree, error) {
		return readTree(ctx, dir, patterns, newIndex(b.opts.CacheDir, key))
	})
}

// below returns the path of the file or directory at a slash-separated path below top, with
// all symbolic links resolved.
func below(top, path string) (string, error) {
	return workspace.Resolve(top, filepath.Join(top, filepath.FromSlash(path)))
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
