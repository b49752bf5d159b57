package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// syncShop is a plan of web, whose src and assets are copied, and of api, of which
// nothing is.
func syncShop() *plan.Plan {
	p := shop("web", "api")
	p.Services[0].Sync = []plan.Sync{
		{Path: "web/src", To: "/app/src", Run: []string{"npm", "install"}, On: []string{"package.json"}},
		{Path: "web/assets", To: "/www", Restart: true},
	}
	return p
}

// beginSync starts watch mode on p with a syncer, below a directory with files.
func beginSync(t *testing.T, p *plan.Plan, files ...string) (*bench, *runtimetest.Syncer) {
	t.Helper()
	root := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		file := filepath.Join(root, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	to := runtimetest.NewSyncer()
	b := begin(t, p, func(o *Options) {
		o.Root, o.Ask = root, false
		o.Sync = func(report func(string, runtime.Synced)) (runtime.Syncer, error) {
			to.Report = report
			return to, nil
		}
	})
	synctest.Wait()
	return b, to
}

// saves changes files of a service's source.
func (b *bench) saves(head bool, paths ...string) {
	service, _, _ := strings.Cut(paths[0], "/")
	b.world.Builder.SetSource(service, fmt.Sprint(paths, time.Now(), len(b.world.Calls())))
	b.changes <- Change{Paths: paths, Inputs: []plan.Input{{Path: service, Kind: plan.InputContext}}, Head: head}
	synctest.Wait()
}

// TestSync: what rules match is copied and neither built nor deployed, also not by
// runs of other services; what none matches is built, and so is what a checkout
// changes; what .dockerignore leaves out needs nothing.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := beginSync(t, syncShop(), "web/.dockerignore", "src/*.tmp\nnode_modules\n!node_modules/keep\n")
		b.want(map[string]int{"web": 1, "api": 1})
		image := b.world.Deployer.Releases("shop-staging")["web"].Image
		runs := func() int { return b.world.Count("Deployer.Deployed") }
		before := runs()
		b.saves(false, "web/src/a.js", "web/assets/x.css")
		b.saves(false, "web/src", "web/src/package.json")
		b.saves(false, "web/src/b.tmp")
		b.saves(false, "web/node_modules/x")
		want := []string{
			"web: x.css->/www/x.css, a.js->/app/src/a.js, restart",
			"web: src->/app/src, package.json->/app/src/package.json, run npm install",
		}
		if diff := cmp.Diff(want, to.Updates()); diff != "" {
			t.Errorf("updates (-want +got):\n%s", diff)
		}
		if got := runs(); got != before {
			t.Errorf("%d runs for what is copied", got-before)
		}
		b.saves(false, "api/main.go")
		b.want(map[string]int{"web": 1, "api": 2})
		if got := b.world.Deployer.Releases("shop-staging")["web"].Image; got != image {
			t.Errorf("the image of web is %s, want %s", got, image)
		}
		if got := b.states(); got[len(got)-1] != "settled" {
			t.Errorf("states %v", got)
		}

		b.saves(false, "web/src/a.js", "web/go.mod") // built, and all of it
		b.want(map[string]int{"web": 2, "api": 2})
		if got := to.Has("web"); len(got) != 0 {
			t.Errorf("the new image lacks %v", got)
		}
		b.saves(false, "web/src/a.js")
		if got := to.Has("web"); !slices.Equal(got, []string{"/app/src/a.js"}) {
			t.Errorf("copied since the image: %v", got)
		}
		b.saves(true, "web/src/a.js")
		b.want(map[string]int{"web": 3, "api": 2})
		b.saves(false, "web/node_modules/keep")
		b.want(map[string]int{"web": 4, "api": 2})
		b.saves(false, "web/src/a.js")
		b.end()
		if !to.Closed() {
			t.Error("the syncer was not closed")
		}
		// The next real deploy wins.
		record, err := b.world.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: syncShop()})
		if err != nil || record.Services[0].State != runtime.Done || record.Services[1].State != runtime.Unchanged {
			t.Errorf("a plain run: %+v, %v", record.Services, err)
		}
	})
}

// TestSyncSharedImage: a service without rules that uses the same image is built,
// and the one with rules keeps its image.
func TestSyncSharedImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := syncShop()
		p.Services[1].Image.Build = "web"
		b, to := beginSync(t, p)
		b.saves(false, "web/src/a.js")
		b.want(map[string]int{"web": 1, "api": 2})
		if got := len(to.Updates()); got != 1 {
			t.Errorf("%d updates, want 1", got)
		}
		b.end()
	})
}

// TestSyncWhileBusy: while an image is built or deployed, a change of its source is
// built; what goes on for another service is not touched by what is copied.
func TestSyncWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := beginSync(t, syncShop())
		b.slow(func(op, _ string) time.Duration {
			if op == "Builder.Build" || op == "Deployer.Deploy" {
				return time.Minute
			}
			return 0
		})
		b.saves(false, "api/main.go")
		time.Sleep(90 * time.Second) // it is deployed now
		b.saves(false, "web/src/a.js")
		if got := len(to.Updates()); got != 1 {
			t.Errorf("%d updates while another service is deployed, want 1", got)
		}
		time.Sleep(time.Hour)
		b.want(map[string]int{"web": 1, "api": 2})
		if got := b.world.Count("Deployer.Deploy end"); got != 3 {
			t.Errorf("%d deploys ended, want those of the first run and one of api", got)
		}

		b.saves(false, "web/go.mod")
		time.Sleep(90 * time.Second)
		b.saves(false, "web/src/a.js")
		time.Sleep(time.Hour)
		if got := len(to.Updates()); got != 1 {
			t.Errorf("%d updates, want none while web is deployed", got-1)
		}
		if got := b.world.Deployer.Releases("shop-staging")["web"].Revision; got != 3 {
			t.Errorf("revision %d of web, want 3", got)
		}
		b.saves(false, "web/src/a.js")
		if got := len(to.Updates()); got != 2 {
			t.Errorf("%d updates, want one after web was deployed", got-1)
		}
		b.end()
	})
}

// TestSyncFails: a service is settled as failed until its containers have all; one
// into which nothing can be copied is built.
func TestSyncFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := beginSync(t, syncShop())
		var failure error
		to.Fails = func(string) error { return failure }
		last := func() (w runtime.WatchChanged) {
			for _, e := range b.events {
				if c, ok := e.Body.(runtime.WatchChanged); ok {
					w = c
				}
			}
			return w
		}
		failure = errors.New("npm install: exit status 1")
		b.saves(false, "web/src/a.js")
		if w := last(); w.State != runtime.Settled || !slices.Equal(w.Services, []string{"web"}) || !strings.Contains(w.Reason, "could be copied into containers of web") {
			t.Errorf("after a failure: %+v", w)
		}
		failure = nil
		b.saves(false, "web/src/a.js")
		if w := last(); w.State != runtime.Settled || len(w.Services) > 0 || w.Reason != "" {
			t.Errorf("after a success: %+v", w)
		}
		b.want(map[string]int{"web": 1, "api": 1})
		failure = fmt.Errorf("no tar: %w", runtime.ErrNoSync)
		b.saves(false, "web/src/a.js")
		b.want(map[string]int{"web": 2, "api": 1})
		if w := last(); w.State != runtime.Settled || len(w.Services) > 0 || w.Reason != "" {
			t.Errorf("after a build instead: %+v", w)
		}
		b.end()
	})
}

// TestSyncNewContainer: nothing is settled before a new container has everything.
func TestSyncNewContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := beginSync(t, syncShop())
		b.saves(false, "web/src/a.js")
		to.Lag("web") // as a pod has come
		b.saves(false, "api/main.go")
		if got := b.states(); got[len(got)-1] != "running" {
			t.Errorf("states %v, want running last", got)
		}
		to.Catch("web")
		synctest.Wait()
		if got := b.states(); got[len(got)-1] != "settled" {
			t.Errorf("states %v, want settled last", got)
		}
		b.end()
	})
}

// TestSyncPlan: a change of the plan deploys the image that a service has, unless it
// changes what its containers are made by. Nothing is copied in a pause, and "again"
// builds.
func TestSyncPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := beginSync(t, syncShop())
		image := func() string { return b.world.Deployer.Releases("shop-staging")["web"].Image }
		b.saves(false, "web/src/a.js")
		first := image()
		edit := func(change func(p *plan.Plan)) {
			p := syncShop()
			change(p)
			b.edit(Evaluation{Plan: p, Inputs: []plan.Input{file("Pipelinefile")}})
			synctest.Wait()
		}
		edit(func(p *plan.Plan) {
			p.Services[0].Workload.Replicas, p.Services[0].Sync[0].Pos.Line, p.Builds[0].Pos.Line = 3, 5, 7
		})
		b.want(map[string]int{"web": 2, "api": 1})
		if image() != first || len(to.Has("web")) != 1 {
			t.Errorf("more replicas: image %s, want %s; copied %v", image(), first, to.Has("web"))
		}
		edit(func(p *plan.Plan) { p.Services[0].Sync[0].To = "/src" })
		b.want(map[string]int{"web": 3, "api": 1})
		if image() == first || len(to.Has("web")) != 0 {
			t.Errorf("another rule: image %s; copied %v", image(), to.Has("web"))
		}
		b.saves(false, "web/src/a.js")
		edit(func(p *plan.Plan) { p.Builds[0].Args = map[string]string{"A": "1"} })
		if len(to.Has("web")) != 0 {
			t.Errorf("another build: copied %v", to.Has("web"))
		}

		b.commands <- Command{Do: Pause}
		updates := len(to.Updates())
		b.saves(false, "web/src/a.js")
		b.saves(false, "web/src/b.js")
		if got := len(to.Updates()); got != updates {
			t.Errorf("%d updates in a pause", got-updates)
		}
		b.commands <- Command{Do: Resume}
		synctest.Wait()
		if got := to.Updates()[updates:]; !slices.Equal(got, []string{"web: a.js->/app/src/a.js, b.js->/app/src/b.js"}) {
			t.Errorf("updates after a pause: %v", got)
		}
		was := image()
		b.commands <- Command{Do: Again}
		synctest.Wait()
		if image() == was || len(to.Has("web")) != 0 {
			t.Errorf("again: image %s, copied %v", image(), to.Has("web"))
		}
		b.end()
	})
}

// TestSyncCannot: what has changed is built if nothing can be copied.
func TestSyncCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, syncShop(), func(o *Options) {
			o.Sync = func(func(string, runtime.Synced)) (runtime.Syncer, error) { return nil, errors.New("no way") }
		})
		synctest.Wait()
		b.saves(false, "web/src/a.js")
		b.want(map[string]int{"web": 2, "api": 1})
		if !slices.ContainsFunc(b.events, func(e runtime.Event) bool {
			w, is := e.Body.(runtime.Warned)
			return is && strings.Contains(w.Diagnostic.Message, "no way")
		}) {
			t.Error("nobody was told why")
		}
		b.end()
	})
}

// TestSyncBesideImages: what a service's other image is built from is built, even if a
// rule copies it into the containers of the service.
func TestSyncBesideImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := syncShop()
		p.Builds = append(p.Builds, plan.BuildSpec{ID: "web/proxy", Source: plan.Source{Path: "web"}, Context: "src", Dockerfile: "Dockerfile"})
		p.Services[0].Images = []plan.NamedImage{{Name: "proxy", ImageSource: plan.ImageSource{Build: "web/proxy"}}}
		b, to := beginSync(t, p)
		b.want(map[string]int{"web": 1, "api": 1})
		was := b.world.Deployer.Releases("shop-staging")["web"]
		b.saves(false, "web/src/a.js")
		is := b.world.Deployer.Releases("shop-staging")["web"]
		if is.Images["proxy"] == was.Images["proxy"] || is.Image != was.Image {
			t.Errorf("after a change of src: %q, %q; before: %q, %q", is.Image, is.Images, was.Image, was.Images)
		}
		if want := []string{"web: a.js->/app/src/a.js"}; !slices.Equal(to.Updates(), want) {
			t.Errorf("updates %v, want %v", to.Updates(), want)
		}
		b.saves(false, "web/assets/x.css")
		if got := b.world.Deployer.Releases("shop-staging")["web"]; got.Images["proxy"] != is.Images["proxy"] {
			t.Errorf("a change of assets makes another image of src")
		}
	})
}
