package reach_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// TestMatch: what a rule matches is copied, what decides how the image is built is
// built, what the image does not have needs nothing, and all else is built.
func TestMatch(t *testing.T) {
	t.Parallel()
	build := plan.BuildSpec{Source: plan.Source{Path: "web"}, Context: ".", Dockerfile: "Dockerfile"}
	install := []string{"npm", "install"}
	all := []plan.Sync{{Path: "web", To: "/app", Run: install, On: []string{"package.json", "patches"}}}
	to := func(targets ...reach.SyncTarget) []reach.SyncTarget { return targets }
	for _, tt := range []struct {
		name    string
		rules   []plan.Sync
		file    string
		ignored bool
		want    reach.Reaction
		targets []reach.SyncTarget
	}{
		{"below", []plan.Sync{{Path: "web/src", To: "/app/src"}}, "web/src/a/b.js", false, reach.Copies, to(reach.SyncTarget{To: "/app/src/a/b.js"})},
		{"a file", []plan.Sync{{Path: "web/app.conf", To: "/etc/app.conf"}}, "web/app.conf", false, reach.Copies, to(reach.SyncTarget{To: "/etc/app.conf"})},
		{"not a prefix", []plan.Sync{{Path: "web/src", To: "/app/src"}}, "web/srcs/b.js", false, reach.Builds, nil},
		{"above", []plan.Sync{{Path: "web/src", To: "/app/src"}}, "web/go.mod", false, reach.Builds, nil},
		{"no rules", nil, "web/go.mod", false, reach.Builds, nil},
		{"everything", []plan.Sync{{Path: ".", To: "/"}}, "web/a", false, reach.Copies, to(reach.SyncTarget{To: "/web/a"})},
		{"unclean", []plan.Sync{{Path: "./web/src/", To: "/app/"}}, "web/src/a", false, reach.Copies, to(reach.SyncTarget{To: "/app/a"})},
		{"Dockerfile", all, "web/Dockerfile", false, reach.Builds, nil},
		{"Dockerfile that is ignored", all, "web/Dockerfile", true, reach.Builds, nil},
		{".dockerignore", all, "web/.dockerignore", true, reach.Builds, nil},
		{"Dockerfile's .dockerignore", all, "web/Dockerfile.dockerignore", false, reach.Builds, nil},
		{"another Dockerfile", all, "web/a/Dockerfile", false, reach.Copies, to(reach.SyncTarget{To: "/app/a/Dockerfile"})},
		{"ignored", all, "web/node_modules/x.js", true, reach.None, nil},
		{"ignored without a rule", nil, "web/notes", true, reach.None, nil},
		{"runs", all, "web/package.json", false, reach.Copies, to(reach.SyncTarget{To: "/app/package.json", Run: true})},
		{"runs below", all, "web/patches/1", false, reach.Copies, to(reach.SyncTarget{To: "/app/patches/1", Run: true})},
		{"does not run", all, "web/a.js", false, reach.Copies, to(reach.SyncTarget{To: "/app/a.js"})},
		{"always runs", []plan.Sync{{Path: "web", To: "/app", Run: install}}, "web/a.js", false, reach.Copies, to(reach.SyncTarget{To: "/app/a.js", Run: true})},
		{"two rules", []plan.Sync{{Path: "web", To: "/app"}, {Path: "api", To: "/api"}, {Path: "web/static", To: "/www"}}, "web/static/a.css", false, reach.Copies,
			to(reach.SyncTarget{To: "/app/static/a.css"}, reach.SyncTarget{Rule: 2, To: "/www/a.css"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, targets := reach.Match(build, tt.rules, tt.file, tt.ignored)
			if got != tt.want || !cmp.Equal(targets, tt.targets) {
				t.Errorf("Match(%q) = %s, %+v, want %s, %+v", tt.file, got, targets, tt.want, tt.targets)
			}
		})
	}
}
