package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher/ignorefile"

	"github.com/pipelinefile/pipe/plan"
)

// schema is the version of identities: with another one, all images are built
// again. It changes when the same sources would give another image.
const schema = "pipe image 1"

// A source is what an image is built from, as it was at one moment.
type source struct {
	identity plan.Digest
	platform string // to build for, where the specification has none

	// A local context, or a checkout of a local repository.
	tree       *tree
	dockerfile *folder // the Dockerfile, called like it, and its own .dockerignore

	// A commit that BuildKit fetches.
	url    string
	commit string // also of a checkout
}

// identified is what an identity is the digest of. Its JSON is the input of the
// hash: the names of its fields are part of the schema.
type identified struct {
	Schema     string
	Context    plan.Digest       `json:",omitempty"` // of a local context
	Commit     string            `json:",omitempty"`
	Path       string            `json:",omitempty"` // of the context in the commit
	Dockerfile string            // its content; with a commit, its path
	Target     string            `json:",omitempty"`
	Args       map[string]string `json:",omitempty"`
	Platforms  []string
	Secrets    []plan.SecretRef  `json:",omitempty"`
	Labels     map[string]string `json:",omitempty"`
}

// open finds out what spec is made of. A commit, if it is given, is what the ref
// of a git source named before.
func (b *Builder) open(ctx context.Context, spec plan.BuildSpec, commit string) (*source, error) {
	src := &source{}
	id := identified{
		Schema: schema, Target: spec.Target, Args: spec.Args, Platforms: spec.Platforms,
		Secrets: spec.Secrets, Labels: spec.Labels,
	}
	if len(id.Platforms) == 0 {
		var err error
		if src.platform, err = b.pool.platform(ctx); err != nil {
			return nil, err
		}
		id.Platforms = []string{src.platform}
	}
	var err error
	if spec.Source.Git != "" {
		err = b.openGit(ctx, spec, src, &id, commit)
	} else {
		err = b.openLocal(ctx, spec, filepath.Join(b.opts.Dir, filepath.FromSlash(spec.Source.Path)), src)
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

// text returns the content of a local Dockerfile.
func (s *source) text() string {
	for i := range s.dockerfile.entries {
		if e := &s.dockerfile.entries[i]; e.path == dockerfileName {
			return string(e.data)
		}
	}
	return ""
}

// dockerfileName is how BuildKit sees every local Dockerfile, so that what it is
// called changes nothing.
const dockerfileName = "Dockerfile"

// openLocal reads the Dockerfile and the context below root, which is the
// folder that spec's paths are relative to.
func (b *Builder) openLocal(ctx context.Context, spec plan.BuildSpec, root string, src *source) error {
	file := filepath.Join(root, filepath.FromSlash(spec.Dockerfile))
	text, err := os.ReadFile(file)
	if err != nil {
		shown := path.Join(spec.Source.Path, spec.Dockerfile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return problem(spec, fmt.Errorf("there is no Dockerfile %s", shown), "write it, or name another with build = dockerfile(file = …)")
		case isFolder(file):
			return problem(spec, fmt.Errorf("the Dockerfile %s is a folder", shown), "name the file with build = dockerfile(file = …)")
		}
		return problem(spec, fmt.Errorf("read Dockerfile %s: %w", shown, err), "")
	}
	src.dockerfile = &folder{entries: []entry{{path: dockerfileName, mode: 0o644, data: text, size: int64(len(text))}}}

	dir := filepath.Join(root, filepath.FromSlash(spec.Context))
	shown := path.Join(spec.Source.Path, spec.Context)
	if !isFolder(dir) {
		err := fmt.Errorf("there is no folder %s, the build context", shown)
		if _, e := os.Lstat(dir); e == nil {
			err = fmt.Errorf("the build context %s is no folder", shown)
		}
		return problem(spec, err, "name another with source = local(…) or build = dockerfile(context = …)")
	}
	ignoreFile := spec.Dockerfile + ".dockerignore"
	ignore, err := os.ReadFile(file + ".dockerignore")
	if err == nil {
		src.dockerfile.entries = append(src.dockerfile.entries,
			entry{path: dockerfileName + ".dockerignore", mode: 0o644, data: ignore, size: int64(len(ignore))})
	} else if errors.Is(err, fs.ErrNotExist) {
		ignoreFile = path.Join(spec.Context, ".dockerignore")
		ignore, err = os.ReadFile(filepath.Join(dir, ".dockerignore"))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem(spec, err, "")
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(ignore))
	if err != nil {
		return problem(spec, fmt.Errorf("%s: %w", path.Join(spec.Source.Path, ignoreFile), err), "")
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
	return nil
}

// walk reads the context of a folder; many at once that want the same share it.
func (b *Builder) walk(ctx context.Context, dir string, patterns []string) (*tree, error) {
	key := dir + "\x00" + strings.Join(patterns, "\x00")
	return b.walks.do(ctx, key, func(ctx context.Context) (*tree, error) {
		return readTree(ctx, dir, patterns, newIndex(b.opts.CacheDir, key))
	})
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
