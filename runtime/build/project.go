package build

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// projectFile configures a build by buildpacks for pack, which reads it, and not for the lifecycle. Its
// settings are arguments of buildpack() and a .dockerignore instead, so that there is one place for each.
const projectFile = "project.toml"

// maxProject is the size of a projectFile that is read, in bytes.
const maxProject = 1 << 20

// warnOfProject warns if the source has a project.toml that sets something for buildpacks.
func (s *source) warnOfProject(spec plan.BuildSpec, emit runtime.Emit) {
	if spec.Buildpack == nil || s.tree == nil || s.tree.find(projectFile) == nil {
		return
	}
	sets := s.projectSettings()
	if len(sets) == 0 {
		return
	}
	emit(runtime.Warned{Diagnostic: plan.Diagnostic{
		Severity: plan.SeverityWarning, Pos: spec.Pos,
		Message: fmt.Sprintf("the build of %s does not read %s, which sets %s", spec.ID, projectFile, strings.Join(sets, ", ")),
		Hint:    "give its env as env= of buildpack(), and its exclude as a .dockerignore; the buildpacks are those of the builder",
	}})
}

// projectSettings returns what a project.toml sets for builds, in both versions of its schema. One that
// cannot be read sets nothing.
func (s *source) projectSettings() []string {
	file, err := s.tree.Open(projectFile)
	if err != nil {
		return nil
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxProject))
	if err != nil {
		return nil
	}
	var all struct {
		IO struct {
			Buildpacks map[string]any `toml:"buildpacks"`
		} `toml:"io"`
		Build map[string]any `toml:"build"`
	}
	if err := toml.Unmarshal(data, &all); err != nil {
		return nil
	}
	var sets []string
	for _, of := range []struct {
		in    string
		table map[string]any
	}{{"io.buildpacks.", all.IO.Buildpacks}, {"build.", all.Build}} {
		for _, key := range slices.Sorted(maps.Keys(of.table)) {
			sets = append(sets, of.in+key)
		}
	}
	return sets
}
