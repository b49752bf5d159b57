package local

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestUpstreams: each kind of image of an environment, with what is known of it.
func TestUpstreams(t *testing.T) {
	t.Parallel()
	up := upstream(t, "1", "2", "3")
	reg, err := registry.New(registry.Options{Prefix: up + "/kept"})
	if err != nil {
		t.Fatal(err)
	}
	digest := func(ref string) plan.Digest {
		d, err := reg.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// built pushes an image with a note, and returns its reference by digest.
	built := func(service string, m registry.Made) string {
		ref := reg.Ref(service, plan.DigestOf([]byte(service)))
		if err := reg.Note(t.Context(), ref, m); err != nil {
			t.Fatal(err)
		}
		parsed, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		img, err := random.Image(100, 1)
		if err == nil {
			err = remote.Write(parsed, img)
		}
		if err != nil {
			t.Fatal(err)
		}
		return runtime.ByDigest(ref, digest(ref))
	}
	old := plan.DigestOf([]byte("old"))
	one, two, three := up+"/app:1", up+"/app:2", up+"/app:3"
	library := built("library", registry.Made{Bases: []runtime.BaseImage{{Image: two, Digest: digest(two)}}})
	libraryName, libraryDigest, _ := strings.Cut(library, "@")
	env := &runtime.Environment{Key: runtime.EnvironmentKey{Pipeline: "shop", Name: "main"}, Plan: &plan.Plan{}, Images: map[string]string{}}
	add := func(service, deployed string, from plan.ImageSource) {
		env.Plan.Services = append(env.Plan.Services, plan.Service{Name: service, Image: from})
		if deployed != "" {
			env.Images[service] = deployed
		}
	}
	build := plan.ImageSource{Build: "b"}
	add("api", built("api", registry.Made{Bases: []runtime.BaseImage{
		{Image: one, Digest: old}, {Image: libraryName, Digest: plan.Digest(libraryDigest), Pinned: true}, {Image: up + "/app", Digest: old, Pinned: true},
	}}), build)
	add("scratch", built("scratch", registry.Made{Bases: []runtime.BaseImage{}}), build)
	add("before", built("before", registry.Made{}), build)
	add("lost", up+"/kept/lost@"+string(old), build)
	add("never", "", build)
	add("copied", up+"/kept/mirror/x@"+string(old), plan.ImageSource{Mirror: three})
	add("pinned", up+"/kept/mirror/x@"+string(digest(three)), plan.ImageSource{Mirror: three + "@" + string(digest(three))})
	add("digest", up+"/kept/mirror/x@"+string(old), plan.ImageSource{Mirror: up + "/app@" + string(old)})
	add("tag", three, plan.ImageSource{Ref: three})
	add("gone", up+"/kept/mirror/x@"+string(old), plan.ImageSource{Mirror: up + "/app:9"})
	add("away", up+"/kept/mirror/x@"+string(old), plan.ImageSource{Ref: "127.0.0.1:1/app"})

	// The images that charts name are those of the last run that has deployed them.
	env.Plan.Services = append(env.Plan.Services, plan.Service{Name: "chart", MirrorImages: true}, plan.Service{Name: "unrecorded", MirrorImages: true})
	rt := &Runtime{images: reg}
	rt.Registry, rt.Store = reg, runtimetest.NewWorld().Runtime().Store
	if err := rt.Store.Claim(t.Context(), env.Key); err != nil {
		t.Fatal(err)
	}
	copied := up + "/kept/mirror/x@" + string(old)
	for i, s := range []runtime.ServiceRecord{
		{Service: "chart", State: runtime.Done, Mirrored: map[string]string{up + "/app:9": copied}},
		{Service: "chart", State: runtime.Done, Mirrored: map[string]string{two: copied, up + "/app@" + string(old): copied, one + "@" + string(old): copied}},
		{Service: "chart", State: runtime.Failed, Mirrored: map[string]string{three: copied}},
		{Service: "other", State: runtime.Done},
	} {
		at := time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC)
		run := runtime.RunRecord{ID: fmt.Sprintf("20260102-03040%d-aaaa", i), Action: runtime.Deploy, Start: at, End: at, Services: []runtime.ServiceRecord{s}}
		if err := rt.Store.AddRun(t.Context(), env.Key, run); err != nil {
			t.Fatal(err)
		}
	}
	tags := 0
	u, err := rt.Upstreams(t.Context(), env, func(n int) { tags = n })
	if err != nil {
		t.Fatal(err)
	}
	for i := range u.Images {
		if im := &u.Images[i]; im.Error != "" {
			im.Error = "error"
		}
	}
	want := &inspect.Upstreams{
		Version: inspect.Version, Pipeline: "shop", Environment: "main",
		Images: []inspect.UpstreamImage{
			{Service: "copied", Kind: inspect.UpstreamDeployed, Image: three, Was: old, Now: digest(three), Moved: true},
			{Service: "pinned", Kind: inspect.UpstreamDeployed, Image: three, Was: digest(three), Now: digest(three), Pinned: true},
			{Service: "gone", Kind: inspect.UpstreamDeployed, Image: up + "/app:9", Was: old, Error: "error"},
			{Service: "away", Kind: inspect.UpstreamDeployed, Image: "127.0.0.1:1/app", Was: old, Error: "error"},
			{Service: "api", Kind: inspect.UpstreamBase, Image: one, Was: old, Now: digest(one), Moved: true},
			{Service: "api", Kind: inspect.UpstreamBase, Image: two, Was: digest(two), Now: digest(two)},
			{Service: "chart", Kind: inspect.UpstreamNamed, Image: one, Was: old, Now: digest(one), Moved: true, Pinned: true},
			{Service: "chart", Kind: inspect.UpstreamNamed, Image: two, Was: old, Now: digest(two), Moved: true},
		},
		Unknown: []inspect.UnknownUpstream{
			{Service: "tag", Image: three, Why: inspect.DeployedByTag},
			{Service: "before", Image: env.Images["before"], Why: inspect.UnrecordedBases},
			{Service: "lost", Image: env.Images["lost"], Why: inspect.UnrecordedBases},
			{Service: "unrecorded", Why: inspect.UnrecordedImages},
		},
	}
	if !reflect.DeepEqual(u, want) {
		t.Errorf("Upstreams = %+v\nwant %+v", u, want)
	}
	if tags != 5 || u.Moved() != 4 || u.Failed() != 2 {
		t.Errorf("%d tags were looked up, %d have moved, %d have failed, want 5, 4, 2", tags, u.Moved(), u.Failed())
	}
	if u, err := rt.Upstreams(t.Context(), &runtime.Environment{Key: env.Key}, nil); err != nil || u.Images == nil || len(u.Images)+len(u.Unknown) > 0 {
		t.Errorf("of an environment without a plan: %+v, %v", u, err)
	}
}
