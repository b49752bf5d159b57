package watch

import (
	"slices"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// TestMatch: what a rule matches is copied, what decides how the image is built is
// built, what the image does not have needs nothing, and all else is built.
func TestMatch(t *testing.T) {
	t.Parallel()
	build := plan.BuildSpec{Source: plan.Source{Path: "web"}, Context: ".", Dockerfile: "Dockerfile"}
	install := []string{"npm", "install"}
	all := []plan.Sync{{Path: "web", To: "/app", Run: install, On: []string{"package.json", "patches"}}}
	to := func(targets ...copyTarget) []copyTarget { return targets }
	for _, tt := range []struct {
		name    string
		rules   []plan.Sync
		file    string
		ignored bool
		want    reaction
		targets []copyTarget
	}{
		{"below", []plan.Sync{{Path: "web/src", To: "/app/src"}}, "web/src/a/b.js", false, copies, to(copyTarget{to: "/app/src/a/b.js"})},
		{"a file", []plan.Sync{{Path: "web/app.conf", To: "/etc/app.conf"}}, "web/app.conf", false, copies, to(copyTarget{to: "/etc/app.conf"})},
		{"not a prefix", []plan.Sync{{Path: "web/src", To: "/app/src"}}, "web/srcs/b.js", false, builds, nil},
		{"above", []plan.Sync{{Path: "web/src", To: "/app/src"}}, "web/go.mod", false, builds, nil},
		{"no rules", nil, "web/go.mod", false, builds, nil},
		{"everything", []plan.Sync{{Path: ".", To: "/"}}, "web/a", false, copies, to(copyTarget{to: "/web/a"})},
		{"unclean", []plan.Sync{{Path: "./web/src/", To: "/app/"}}, "web/src/a", false, copies, to(copyTarget{to: "/app/a"})},
		{"Dockerfile", all, "web/Dockerfile", false, builds, nil},
		{"Dockerfile that is ignored", all, "web/Dockerfile", true, builds, nil},
		{".dockerignore", all, "web/.dockerignore", true, builds, nil},
		{"Dockerfile's .dockerignore", all, "web/Dockerfile.dockerignore", false, builds, nil},
		{"another Dockerfile", all, "web/a/Dockerfile", false, copies, to(copyTarget{to: "/app/a/Dockerfile"})},
		{"the whole context", all, "web", false, builds, nil},
		{"ignored", all, "web/node_modules/x.js", true, nothing, nil},
		{"ignored without a rule", nil, "web/notes", true, nothing, nil},
		{"runs", all, "web/package.json", false, copies, to(copyTarget{to: "/app/package.json", run: true})},
		{"runs below", all, "web/patches/1", false, copies, to(copyTarget{to: "/app/patches/1", run: true})},
		{"does not run", all, "web/a.js", false, copies, to(copyTarget{to: "/app/a.js"})},
		{"always runs", []plan.Sync{{Path: "web", To: "/app", Run: install}}, "web/a.js", false, copies, to(copyTarget{to: "/app/a.js", run: true})},
		{"two rules", []plan.Sync{{Path: "web", To: "/app"}, {Path: "api", To: "/api"}, {Path: "web/static", To: "/www"}}, "web/static/a.css", false, copies,
			to(copyTarget{to: "/app/static/a.css"}, copyTarget{rule: 2, to: "/www/a.css"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, targets := match(originOf(build), tt.rules, tt.file, tt.ignored)
			if got != tt.want || !slices.Equal(targets, tt.targets) {
				t.Errorf("Match(%q) = %s, %+v, want %s, %+v", tt.file, got, targets, tt.want, tt.targets)
			}
		})
	}
}
