package dockerfile_test

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp/lint/dockerfile"
	"github.com/pipelinefile/pipe/plan"
)

func TestLint(t *testing.T) {
	tests := []struct {
		name, src, want string // want is the prefix of the only finding's message; empty: no finding
		line            int
		build           plan.BuildSpec
	}{
		{name: "good", src: "FROM scratch\nCMD [\"/x\"]\n"},
		{name: "base image is not looked up", src: "FROM registry.invalid/x:1\nCMD [\"/x\"]\n"},
		{name: "shell form", src: "FROM scratch\nCMD x\n", want: "JSONArgsRecommended: ", line: 2},
		{name: "casing", src: "FROM scratch as x\nCMD [\"/x\"]\n", want: "FromAsCasing: ", line: 1},
		{name: "turned off", src: "# check=skip=FromAsCasing\nFROM scratch as x\nCMD [\"/x\"]\n"},
		{name: "no such instruction", src: "FROM scratch\nRUNN x\n", want: "the Dockerfile cannot be built: ", line: 2},
		{name: "no such target", src: "FROM scratch AS x\n", want: "the Dockerfile cannot be built: ", line: 1, build: plan.BuildSpec{Target: "y"}},
		{name: "no default", src: "ARG BASE\nFROM ${BASE}\nCMD [\"/x\"]\n", want: "InvalidDefaultArgInFrom: ", line: 2, build: plan.BuildSpec{Args: map[string]string{"BASE": "x"}}},
		{name: "an image of the pipeline", src: "ARG BASE\nFROM ${BASE}\nCMD [\"/x\"]\n", build: plan.BuildSpec{ImageArgs: map[string]plan.ImageSource{"BASE": {Build: "base"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := dockerfile.Lint(t.Context(), "Dockerfile", []byte(tt.src), &tt.build)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("Lint = %+v, want none", got)
			case tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Message, tt.want) || got[0].Pos.Line != tt.line):
				t.Errorf("Lint = %+v, want %q on line %d", got, tt.want, tt.line)
			}
		})
	}
}

// TestOnce checks that a finding is reported once, even if several builds and
// targets share the line.
func TestOnce(t *testing.T) {
	p := &plan.Plan{Builds: []plan.BuildSpec{
		{Dockerfile: "Dockerfile", Source: plan.Source{Path: "api"}},
		{Dockerfile: "Dockerfile", Source: plan.Source{Path: "api"}, Target: "a"},
		{Dockerfile: "Dockerfile", Source: plan.Source{Path: "api"}, Target: "b", Args: map[string]string{"X": "1"}},
	}}
	got, err := dockerfile.Builds(t.Context(), p, func(string) ([]byte, error) {
		return []byte("FROM scratch as a\nCMD x\nFROM a AS b\nCMD [\"/x\"]\n"), nil
	})
	if err != nil || len(got) != 2 || !strings.HasPrefix(got[0].Message, "FromAsCasing: ") || !strings.HasPrefix(got[1].Message, "JSONArgsRecommended: ") {
		t.Errorf("Builds = %+v, %v, want two findings", got, err)
	}
}
