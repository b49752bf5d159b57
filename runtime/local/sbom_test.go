package local

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// TestSBOM: each image of an environment, with its packages or why they are not known.
func TestSBOM(t *testing.T) {
	t.Parallel()
	up := upstream(t, "none", "good", "bad", "stated", "others")
	reg, err := registry.New(registry.Options{Prefix: up + "/kept"})
	if err != nil {
		t.Fatal(err)
	}
	// attach attaches SBOMs to an image, as cosign does with tags, and returns the image by digest.
	attach := func(tag string, texts ...string) string {
		ref, err := name.ParseReference(up + "/app:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Head(ref)
		if err != nil {
			t.Fatal(err)
		}
		img := empty.Image
		for _, text := range texts {
			if img, err = mutate.AppendLayers(img, static.NewLayer([]byte(text), "application/spdx+json")); err != nil {
				t.Fatal(err)
			}
		}
		if len(texts) > 0 {
			if err := remote.Write(ref.Context().Tag("sha256-"+d.Digest.Hex+".sbom"), img); err != nil {
				t.Fatal(err)
			}
		}
		return up + "/app@" + d.Digest.String()
	}
	document := func(packages string) string { return `{"spdxVersion":"SPDX-2.3","packages":[` + packages + `]}` }
	good := attach("good", document(`{"name":"b"},{"name":"a","versionInfo":"1"}`), document(`{"name":"b"}`))
	bad := attach("bad", document(`{"name":"a"}`), "{", `{"predicateType":"https://slsa.dev/provenance/v1"}`, "[]")
	statement := func(packages, subjects string) string {
		return `{"predicateType":"https://spdx.dev/Document","subject":[` + subjects + `],"predicate":` + document(packages) + `}`
	}
	of := func(ref string) string {
		return `{"digest":{"sha256":"` + ref[strings.LastIndexByte(ref, ':')+1:] + `"}}`
	}
	stated := attach("stated", statement(`{"name":"c"}`, of(good)+","+of(attach("stated"))))
	others := attach("others", statement(`{"name":"d"}`, of(good)), statement(`{"name":"e"}`, ""))
	env := &runtime.Environment{Key: runtime.EnvironmentKey{Pipeline: "shop", Name: "main"}, Plan: &plan.Plan{}, Images: map[string]string{}}
	for service, ref := range map[string]string{
		"1 good": good, "2 again": good, "3 none": attach("none"), "4 bad": bad, "5 tag": up + "/app:none", "6 away": "127.0.0.1:1/app@" + string(plan.DigestOf(nil)), "7 never": "", "8 stated": stated, "9 others": others,
	} {
		env.Plan.Services = append(env.Plan.Services, plan.Service{Name: service, Image: plan.ImageSource{Mirror: "x"}})
		if ref != "" {
			env.Images[service] = ref
		}
	}
	slices.SortFunc(env.Plan.Services, func(a, b plan.Service) int { return strings.Compare(a.Name, b.Name) })
	rt := &Runtime{images: reg}
	images := 0
	inv, err := rt.SBOM(t.Context(), env, func(n int) { images = n })
	if err != nil || images != 6 || inv.Failed() != 3 {
		t.Fatalf("SBOM = %v, reading %d images, %d failed; want 6 and 3", err, images, inv.Failed())
	}
	for i, want := range []string{
		"1 good [{a 1  } {b   }] [SPDX]  ", "2 again [{a 1  } {b   }] [SPDX]  ", "3 none [] [] none ",
		"4 bad [{a   }] [SPDX] unreadable an SBOM that is attached to it cannot be read: it is not valid JSON: unexpected end of JSON input, and 1 more",
		"5 tag [] [] by-tag ", "6 away [] [] unreadable image 127.0.0.1:1/app@",
		"8 stated [{c   }] [SPDX]  ", "9 others [] [] unreadable an SBOM that is attached to it is of another image: " + good[strings.LastIndexByte(good, '@')+1:] + ", and 1 more",
	} {
		im := inv.Images[i]
		if got := fmt.Sprintf("%s %v %v %s %s", im.Service, im.Packages, im.Formats, im.Why, im.Error); !strings.HasPrefix(got, want) {
			t.Errorf("image %d is %q, want %q", i, got, want)
		}
	}
}

// TestSBOMAdvice: what to do is said about images of Dockerfiles without SBOM, and about no others.
func TestSBOMAdvice(t *testing.T) {
	t.Parallel()
	up := upstream(t, "none")
	reg, err := registry.New(registry.Options{Prefix: up + "/kept"})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(up + "/app:none")
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	installed := []scannerProgram{{"amd64", "pipe-sbom-linux-amd64"}}
	for name, test := range map[string]struct {
		build    plan.BuildSpec
		pipeline plan.Pipeline
		scanners []scannerProgram
		want     string
	}{
		"no scanner":   {plan.BuildSpec{ID: "api"}, plan.Pipeline{}, nil, `"make sbom" builds it`},
		"named":        {plan.BuildSpec{ID: "api"}, plan.Pipeline{SBOM: "scanner:1"}, nil, "when it is built again"},
		"installed":    {plan.BuildSpec{ID: "api"}, plan.Pipeline{}, installed, "when it is built again"},
		"switched off": {plan.BuildSpec{ID: "api"}, plan.Pipeline{NoSBOM: true}, installed, "sbom = False of pipeline() is why"},
		"a command":    {plan.BuildSpec{ID: "api", Command: &plan.BuildCommand{}}, plan.Pipeline{}, nil, ""},
		"no build":     {plan.BuildSpec{ID: "other"}, plan.Pipeline{}, nil, ""},
	} {
		p := &plan.Plan{Pipeline: test.pipeline, Builds: []plan.BuildSpec{test.build}, Services: []plan.Service{{Name: "api", Image: plan.ImageSource{Build: "api"}}}}
		env := &runtime.Environment{Plan: p, Images: map[string]string{"api": up + "/app@" + d.Digest.String()}}
		inv, err := (&Runtime{images: reg, scanners: test.scanners}).SBOM(t.Context(), env, nil)
		if err != nil || inv.Images[0].Why != "none" || !strings.Contains(inv.Advice, test.want) || test.want == "" && inv.Advice != "" {
			t.Errorf("%s: the advice is %q, %v, want %q", name, inv.Advice, err, test.want)
		}
	}
}
