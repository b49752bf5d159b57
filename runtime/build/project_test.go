package build_test

import (
	"strings"
	"testing"
)

// TestBuildpackProject: a build says what a project.toml sets for pack, which it does not read.
func TestBuildpackProject(t *testing.T) {
	host, addr := images(t), buildkit(t)
	s := cnbSpec(t, host, builderImage(t, greetDetect, greetBuild), runImage(t))
	for what, test := range map[string]struct{ text, want string }{
		"newer":    {"[_]\nschema-version = \"0.2\"\n[io.buildpacks]\nexclude = [\"*.md\"]\n[[io.buildpacks.build.env]]\nname = \"A\"\nvalue = \"b\"\n", "the build of web does not read project.toml, which sets io.buildpacks.build, io.buildpacks.exclude"},
		"older":    {"[project]\nid = \"x\"\n[build]\ninclude = [\"src\"]\n[[build.env]]\nname = \"A\"\nvalue = \"b\"\n", "which sets build.env, build.include"},
		"nothing":  {"[project]\nid = \"x\"\n", ""},
		"not-toml": {"[[", ""},
	} {
		t.Run(what, func(t *testing.T) {
			b := commandBuilder(t, workspace(t, files{"web/hello": "hello", "web/project.toml": test.text}), addr)
			_, r := mustBuild(t, b, s, host+"/"+what+":1")
			if text := r.text(); strings.Contains(text, "does not read project.toml") != (test.want != "") || !strings.Contains(text, test.want) {
				t.Errorf("the build says\n%s", text)
			}
		})
	}
}
