package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// upstream serves images of one layer with these tags of the repository app.
func upstream(t *testing.T, tags ...string) (addr string) {
	t.Helper()
	s := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	addr = strings.TrimPrefix(s.URL, "http://")
	for _, tag := range tags {
		pushImage(t, addr+"/app:"+tag)
	}
	return addr
}

// pushImage writes an image of one layer to a reference, and returns its reference by digest.
func pushImage(t testing.TB, at string) string {
	t.Helper()
	img, err := random.Image(500, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return ref.Context().Digest(digest.String()).Name()
}

// deploying is a runtime whose cluster and registry are real. Nothing is written into the
// cluster but the state: the deployer calls act.
type deploying struct {
	runtime.Deployer
	act func(runtime.Release) error
}

func (d deploying) Act(_ context.Context, _ runtime.Action, r runtime.Release, _ runtime.Emit) error {
	return d.act(r)
}

// TestPruneWhileDeploying: a run finds an image that nothing needs, and it is pruned before the
// run has recorded it. Another one begins while it is pruned.
func TestPruneWhileDeploying(t *testing.T) {
	kubeconfig := testenv.Kubeconfig(t)
	up := upstream(t, "old", "current")
	opts := Options{Dir: t.TempDir(), Home: t.TempDir(), Kubeconfig: kubeconfig, Registry: up + "/kept"}
	pipeline := strings.ToLower(strings.TrimPrefix(testenv.Namespace(t), "pipe-"))
	deploy := func(env, tag string, act func(runtime.Release) error) (*runtime.RunRecord, error) {
		rt, err := Open(t.Context(), opts)
		if err != nil {
			return nil, err
		}
		defer rt.Close()
		t.Cleanup(func() {
			key := runtime.EnvironmentKey{Pipeline: pipeline, Name: env}
			_ = rt.Store.Delete(context.WithoutCancel(t.Context()), key)
		})
		rt.Deployer = deploying{rt.Deployer, act}
		p := &plan.Plan{
			Pipeline:    plan.Pipeline{Name: pipeline},
			Environment: plan.EnvironmentRef{Name: env, Kind: plan.KindEnvironment},
			Stages:      []plan.Stage{{Name: "apps"}},
			Services: []plan.Service{{
				Name: "app", Type: plan.Container, Stage: "apps", Image: plan.ImageSource{Mirror: up + "/app:" + tag},
				Timeout: plan.Duration(time.Minute),
			}},
		}
		return rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p, By: "test"})
	}
	nothing := func(runtime.Release) error { return nil }
	open := func() *Images {
		im, err := OpenImages(t.Context(), opts, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { im.Close() })
		return im
	}
	digests := func(all []Listed, of func(Listed) bool) (out []string) {
		for _, l := range all {
			if of(l) {
				out = append(out, string(l.Digest))
			}
		}
		return out
	}

	// An old image that no environment needs any more, and one that is deployed.
	if _, err := deploy("gone", "old", nothing); err != nil {
		t.Fatal(err)
	}
	if _, err := deploy("main", "current", nothing); err != nil {
		t.Fatal(err)
	}
	im := open()
	all, err := im.List(t.Context(), 0)
	if err != nil || len(all) != 2 {
		t.Fatalf("List = %+v, %v", all, err)
	}
	if free := digests(all, func(l Listed) bool { return l.Why == "" }); len(free) > 0 {
		t.Errorf("of deployed images %v could be removed", free)
	}
	if err := im.clusters[0].store.Delete(t.Context(), runtime.EnvironmentKey{Pipeline: pipeline, Name: "gone"}); err != nil {
		t.Fatal(err)
	}
	if all, err = im.List(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	free := digests(all, func(l Listed) bool { return l.Why == "" })
	if len(free) != 1 {
		t.Fatalf("%v can be removed, want the old one", free)
	}

	// A cluster that is not asked.
	if err := im.Registry.Join(t.Context(), registry.Cluster{ID: "uid-elsewhere", Name: "https://elsewhere", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	var unseen *UnseenError
	if done, err := im.Prune(t.Context(), all, 0, nil); !errors.As(err, &unseen) || len(done.Images) > 0 {
		t.Errorf("Prune with another cluster = %v, %v, want an UnseenError", done, err)
	}
	if err := im.Forget(t.Context(), "uid-elsewhere", false); err != nil {
		t.Fatal(err)
	}

	// The old image is deployed again, in another environment, while it is pruned.
	pruned := make(chan Pruned, 1)
	waiting := make(chan []string, 100)
	_, err = deploy("again", "old", func(r runtime.Release) error { // the run has found it
		go func() {
			done, err := im.Prune(t.Context(), all, 0, func(runs []string) { waiting <- runs })
			if err != nil {
				t.Errorf("Prune = %v", err)
			}
			pruned <- done
		}()
		select {
		case runs := <-waiting:
			if len(runs) != 1 || !strings.Contains(runs[0], pipeline+"/again") {
				t.Errorf("it waits for %v", runs)
			}
		case done := <-pruned:
			return fmt.Errorf("it was pruned, with the run in progress: %+v", done)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if done := <-pruned; len(done.Images) > 0 {
		t.Errorf("pruned %+v, which a run has deployed", done)
	}
	if all, err = im.List(t.Context(), 0); err != nil || len(all) != 2 || len(digests(all, func(l Listed) bool { return slices.Contains(l.For, pipeline+"/again") })) != 1 {
		t.Errorf("List = %+v, %v, want both images", all, err)
	}

	// Without that environment it is removed, and a later run copies it again.
	if err := im.clusters[0].store.Delete(t.Context(), runtime.EnvironmentKey{Pipeline: pipeline, Name: "again"}); err != nil {
		t.Fatal(err)
	}
	done, err := im.Prune(t.Context(), all, 0, nil)
	if err != nil || len(done.Images) != 1 || string(done.Images[0].Digest) != free[0] {
		t.Errorf("Prune = %+v, %v, want %s", done, err, free[0])
	}
	record, err := deploy("again", "old", nothing)
	if err != nil || !strings.HasSuffix(record.Services[0].Image, free[0]) {
		t.Errorf("deploy = %+v, %v", record, err)
	}
}
