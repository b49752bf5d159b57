package build

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Inputs returns the identity of spec, and what it is made of. After Identify it is as cheap
// as that.
func (b *Builder) Inputs(ctx context.Context, spec plan.BuildSpec) (plan.Digest, *runtime.ImageInputs, error) {
	k, err := key(spec)
	if err != nil {
		return "", nil, err
	}
	b.mu.Lock()
	was := b.seen[k]
	b.mu.Unlock()
	src, err := b.open(ctx, spec, opening{commit: was.commit})
	if err != nil {
		return "", nil, err
	}
	in := &runtime.ImageInputs{
		Commit: src.commit, Target: spec.Target, Platforms: src.platforms(spec),
		Args: digested(spec.Args), Labels: digested(spec.Labels),
	}
	if c := spec.Command; c != nil {
		in.Command = runtime.InputDigest(plan.DigestOf(fmt.Appendf(nil, "%q %q", c.Args, c.Output+nameOf(c))))
		in.Env = digested(c.Env)
	}
	if g := spec.Go; g != nil {
		in.Command = runtime.InputDigest(plan.DigestOf(fmt.Appendf(nil, "%q %q", g.Package, g.Flags)))
		in.Env = digested(g.Env)
		in.Compiler = src.compiler
	}
	if p := spec.Buildpack; p != nil {
		in.Env = digested(p.Env)
	}
	for arg, base := range spec.Bases {
		if in.Bases == nil {
			in.Bases = make(map[string]string)
		}
		in.Bases[arg] = runtime.InputDigest(base.Identity)
	}
	for _, s := range spec.Secrets {
		name := s.Name
		if s.Key != "" {
			name += "/" + s.Key
		}
		in.Secrets = append(in.Secrets, name)
	}
	if src.commit != "" {
		in.Path, in.Dockerfile = spec.Source.Path, spec.Dockerfile
		return src.identity, in, nil
	}
	if src.dockerfile != nil {
		in.Dockerfile = runtime.InputDigest(plan.DigestOf([]byte(src.text())))
	}
	in.Count, in.Content = len(src.tree.entries), runtime.InputDigest(src.tree.digest)
	if in.Count <= runtime.MaxInputFiles {
		in.Files = make(map[string]string, in.Count)
		for i := range src.tree.entries {
			e := &src.tree.entries[i]
			in.Files[e.path] = e.represented()
		}
	}
	return src.identity, in, nil
}

// nameOf returns what the name of an image of several adds to the digest of a command.
func nameOf(c *plan.BuildCommand) string {
	if c.Image == "" {
		return ""
	}
	return "\x00" + c.Image
}

// represented returns what represents an entry in ImageInputs.
func (e *entry) represented() string {
	switch {
	case e.mode&fs.ModeSymlink != 0:
		return "link " + runtime.InputDigest(plan.DigestOf([]byte(e.link)))
	case e.mode.IsDir():
		return "directory"
	}
	return fmt.Sprintf("%o %s", e.mode, runtime.InputDigest(plan.Digest("sha256:"+hex.EncodeToString(e.sum[:2]))))
}

// digested returns values by their digests.
func digested(values map[string]string) map[string]string {
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]string, len(values))
	for name, value := range values {
		out[name] = runtime.InputDigest(plan.DigestOf([]byte(value)))
	}
	return out
}
