package dockerfile

import (
	"context"
	"path"
	"slices"

	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/plan"
)

// Builds returns the findings for the Dockerfiles in the workspace that a plan
// builds, each once, even if several targets and builds share the line. read
// returns the content of a file, by its path below the workspace's root.
func Builds(ctx context.Context, p *plan.Plan, read func(name string) ([]byte, error)) ([]lint.Finding, error) {
	var out []lint.Finding
	type target struct{ file, name string }
	seen := map[target]bool{}
	for i := range p.Builds {
		b := &p.Builds[i]
		t := target{path.Join(b.Source.Path, b.Dockerfile), b.Target}
		if b.Source.Git != "" || !b.HasDockerfile() || seen[t] {
			continue
		}
		seen[t] = true
		src, err := read(t.file)
		if err != nil {
			return nil, err
		}
		found, err := Lint(ctx, t.file, src, b)
		if err != nil {
			return nil, err
		}
		for _, f := range found { // another target may have the same lines
			if !slices.ContainsFunc(out, func(o lint.Finding) bool { return o.Pos == f.Pos && o.Message == f.Message }) {
				out = append(out, f)
			}
		}
	}
	return out, nil
}
