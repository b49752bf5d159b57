package watch

import (
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// TestCommandInputs: of an image that a command makes, its inputs are watched, and neither other files
// nor what it writes.
func TestCommandInputs(t *testing.T) {
	t.Parallel()
	s := newSpace(t, FileOptions{}, "api/src/a.go", "1", "api/src/gen/b.go", "1", "api/notes", "1", "api/src/out/image/index.json", "1", "end", "1")
	builds := []plan.BuildSpec{{Source: plan.Source{Path: "api"}, Context: ".", Command: &plan.BuildCommand{
		Args: []string{"make"}, Inputs: []string{"src/**", "!src/gen"}, Output: "src/out/image",
	}}}
	s.set(builds, "context api", "file end")
	s.write("api/notes", "2")
	s.write("api/src/gen/b.go", "2")
	s.write("api/src/out/image/index.json", "2")
	s.write("end", "2")
	s.want("end", "file end")
	s.write("api/src/a.go", "2")
	s.want("api/src/a.go", "context api")

	out := ignored(s.path("."), builds[0])
	for file, want := range map[string]bool{"api/src/a.go": false, "api/src/gen/b.go": true, "api/notes": true, "api/src/out/image/x": true, "web/a": false} {
		if got := out(file); got != want {
			t.Errorf("%s is ignored: %v, want %v", file, got, want)
		}
	}

	// all files, now that no inputs are given
	all := []plan.BuildSpec{builds[0]}
	all[0].Command = &plan.BuildCommand{Args: []string{"make"}}
	s.set(all, "context api", "file end")
	s.write("api/notes", "3")
	s.want("api/notes", "context api")
}
