package build_test

import (
	"maps"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestPreviewBranch: a preview builds a branch from the repositories that have it, and the
// ref of the source from the others. Once a repository gets the branch, it is built from that
// (E3).
func TestPreviewBranch(t *testing.T) {
	has, lacks := newRepository(t), newRepository(t)
	for _, repo := range []*repository{has, lacks} {
		repo.commit(shop("of main"))
	}
	branch := func(repo *repository) {
		repo.git("checkout", "--quiet", "-b", "feature/x")
		repo.commit(shop("of the branch"))
		repo.git("checkout", "--quiet", "main")
	}
	branch(has)
	lacks.git("tag", "feature/x") // a tag is not a branch

	key := runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}
	p := &plan.Plan{
		Pipeline: plan.Pipeline{Name: key.Pipeline}, Environment: plan.EnvironmentRef{Name: key.Name, Kind: "environment"},
		Stages: []plan.Stage{{Name: "apps"}},
	}
	for name, repo := range map[string]*repository{"has": has, "lacks": lacks} {
		b := gitSpec("file://"+repo.dir, "main")
		b.ID = name
		p.Builds = append(p.Builds, b)
		p.Services = append(p.Services, plan.Service{Name: name, Type: plan.Application, Stage: "apps", Image: plan.ImageSource{Build: name}})
	}
	w := runtimetest.NewWorld()
	rt := w.Runtime()
	builder := build.New(build.Options{Dir: t.TempDir(), CacheDir: t.TempDir()})
	rt.Builder = builder
	if err := w.Store.Save(t.Context(), &runtime.Environment{Key: key, Kind: "environment", Plan: p}); err != nil {
		t.Fatal(err)
	}
	preview, err := rt.Clone(t.Context(), runtime.CloneRequest{Source: key, Name: "pr", Branch: "feature/x", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	// refs returns the images that a deploy is going to build.
	refs := func(key runtime.EnvironmentKey) map[string]string {
		t.Helper()
		steps, err := rt.Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: key})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, s := range steps {
			if s.Image != runtime.ImageBuild {
				t.Errorf("%s in %s: %+v", s.Service, key.Name, s)
			}
			out[s.Service] = s.Ref
		}
		return out
	}
	of := func(service string, repo *repository, ref string) string {
		t.Helper()
		id, err := builder.Identify(t.Context(), gitSpec("file://"+repo.dir, repo.git("rev-parse", ref)))
		if err != nil {
			t.Fatal(err)
		}
		return w.Registry.Ref(service, id)
	}
	onMain := map[string]string{"has": of("has", has, "main"), "lacks": of("lacks", lacks, "main")}
	want := map[string]string{"has": of("has", has, "refs/heads/feature/x"), "lacks": onMain["lacks"]}
	if want["has"] == onMain["has"] {
		t.Fatal("the branch has the identity of main")
	}
	if got := refs(preview.Key); !maps.Equal(got, want) {
		t.Errorf("the preview builds %v, want %v", got, want)
	}
	if got := refs(key); !maps.Equal(got, onMain) {
		t.Errorf("its source builds %v, want %v", got, onMain)
	}
	branch(lacks) // next to a tag with the same name, which git prefers for an unqualified name
	want["lacks"] = of("lacks", lacks, "refs/heads/feature/x")
	if got := refs(preview.Key); !maps.Equal(got, want) || want["lacks"] == onMain["lacks"] {
		t.Errorf("with the branch in both it builds %v, want %v", got, want)
	}
}
