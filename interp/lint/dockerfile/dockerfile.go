// Package dockerfile checks Dockerfiles as BuildKit does, without a builder and
// without a network.
package dockerfile

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/plan"
)

// Lint returns the findings of BuildKit's checks for the Dockerfile of a build,
// with positions in the file name. If the Dockerfile exceeds the limits, that
// is the only finding.
func Lint(ctx context.Context, name string, src []byte, b *plan.BuildSpec) ([]lint.Finding, error) {
	if line, why := excess(string(src)); line > 0 {
		return []lint.Finding{{Rule: "dockerfile", Message: "cannot check the Dockerfile: " + why, Pos: plan.Pos{File: name, Line: line, Col: 1}}}, nil
	}
	origin := llb.NewSourceMap(nil, name, "Dockerfile", src)
	origin.Definition = &llb.Definition{} // BuildKit panics if it is nil
	caps := pb.Caps.CapSet(pb.Caps.All())
	args := maps.Clone(b.Args)
	if args == nil {
		args = map[string]string{}
	}
	for name := range b.ImageArgs {
		args[name] = "registry.invalid/image" // its reference is not known here
	}
	found, err := dockerfile2llb.DockerfileLint(ctx, src, dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildArgs: args, Target: b.Target},
		SourceMap:      origin,
		TargetPlatform: &ocispecs.Platform{OS: "linux", Architecture: runtime.GOARCH},
		LLBCaps:        &caps,
		MetaResolver:   offline{}, // otherwise BuildKit queries docker.io
	})
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", name, err)
	}
	lines := lint.Lines(src)
	out := make([]lint.Finding, 0, len(found.Warnings))
	for _, w := range found.Warnings {
		if w.RuleName == linter.RuleInvalidDefaultArgInFrom.Name && len(b.ImageArgs) > 0 {
			continue // an image of the pipeline has no default
		}
		f := lint.Finding{Rule: "dockerfile", Message: w.RuleName + ": " + w.Detail, Pos: position(name, w.Location), Hint: w.URL}
		f.Line = lines(f.Pos.Line)
		out = append(out, f)
	}
	if e := found.Error; e != nil {
		f := lint.Finding{Rule: "dockerfile", Message: "the Dockerfile cannot be built: " + e.Message, Pos: position(name, &e.Location)}
		f.Line = lines(f.Pos.Line)
		out = append(out, f)
	}
	lint.Sort(out)
	return out, nil
}

// position is the start of a finding, or the start of the file if BuildKit does not know it.
func position(name string, l *pb.Location) plan.Pos {
	pos := plan.Pos{File: name, Line: 1, Col: 1}
	if l != nil && len(l.Ranges) > 0 && l.Ranges[0].Start != nil && l.Ranges[0].Start.Line > 0 {
		pos.Line, pos.Col = int(l.Ranges[0].Start.Line), int(l.Ranges[0].Start.Character)+1
	}
	return pos
}

// offline is a resolver that finds no base images.
type offline struct{}

func (offline) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	image := ocispecs.Image{Platform: ocispecs.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		image.Platform = *opt.ImageOpt.Platform
	}
	config, err := json.Marshal(image)
	return ref, "", config, err
}
