package build_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

// Scripts that write SBOMs of what a buildpack adds: in each of the formats, and in two formats.
const (
	writeCDX  = `echo '{"bomFormat":"CycloneDX","specVersion":"1.4","components":[{"type":"library","name":"left-pad","version":"1.3.0","purl":"pkg:npm/left-pad@1.3.0","licenses":[{"license":{"id":"MIT"}}]}]}' >"$CNB_LAYERS_DIR/app.sbom.cdx.json"` + "\n"
	writeSPDX = `echo '{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"SPDXRef-1","name":"start","versionInfo":"2"}]}' >"$CNB_LAYERS_DIR/launch.sbom.spdx.json"` + "\n"
	writeSyft = `echo '{"artifacts":[{"name":"left-pad","version":"1.3.0"}],"schema":{"version":"3.0.1"}}' >"$CNB_LAYERS_DIR/app.sbom.syft.json"` + "\n"
	onlySyft  = `echo '{"artifacts":[{"name":"rails","version":"8.0","purl":"pkg:gem/rails@8.0"}]}' >"$CNB_LAYERS_DIR/app.sbom.syft.json"` + "\n"
	wrongCDX  = `echo '{"bomFormat":"no"}' >"$CNB_LAYERS_DIR/app.sbom.cdx.json"` + "\n"
	ofBuild   = `echo '{"bomFormat":"CycloneDX","components":[{"name":"compiler"}]}' >"$CNB_LAYERS_DIR/build.sbom.cdx.json"` + "\n"
)

// attachedSBOM returns the packages of the SBOMs at a reference, and the digests that they are about.
func attachedSBOM(t testing.TB, ref string) (packages []sbom.Package, of []plan.Digest) {
	t.Helper()
	from, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(from)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Manifests {
		if d.Platform.OS != "unknown" {
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range layers {
			content, err := layer.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(content)
			if err != nil {
				t.Fatal(err)
			}
			document, err := sbom.Read(data)
			if errors.Is(err, sbom.ErrOther) { // provenance
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			packages, of = append(packages, document.Packages...), append(of, document.Subjects...)
		}
	}
	return packages, of
}

// TestBuildpackSBOM: the SBOMs that buildpacks write are beside the image, each once, and change neither the
// image nor its digest.
func TestBuildpackSBOM(t *testing.T) {
	host, addr := images(t), buildkit(t)
	pad := sbom.Package{Name: "left-pad", Version: "1.3.0", License: "MIT", PURL: "pkg:npm/left-pad@1.3.0"}
	for what, test := range map[string]struct {
		script string
		want   []sbom.Package // besides the run image
		warned string
	}{
		"of formats":   {writeCDX + writeSyft + writeSPDX + ofBuild, []sbom.Package{pad, {Name: "start", Version: "2"}}, ""},
		"of syft":      {onlySyft, []sbom.Package{{Name: "rails", Version: "8.0", PURL: "pkg:gem/rails@8.0"}}, ""},
		"none":         {ofBuild, nil, ""},
		"no such form": {wrongCDX, nil, "the image of web has no SBOM: the SBOM test_greet/app/sbom.cdx.json of a buildpack: it is neither SPDX 2 nor CycloneDX as JSON"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := workspace(t, files{"web/hello": "hello"})
			s := cnbSpec(t, host, builderImage(t, greetDetect, greetBuild+test.script), runImage(t))
			o, ref := pushingOptions(t, dir, addr), host+"/"+strings.ReplaceAll(what, " ", "-")+":1"
			o.Attest.Beside = func(ref string) string { return ref + ".provenance" }
			digest, r := mustBuild(t, withOptions(t, o), s, ref)
			if text := r.text(); strings.Contains(text, "has no SBOM") != (test.warned != "") || !strings.Contains(text, test.warned) {
				t.Errorf("the build warns\n%s", text)
			}
			if got := head(t, ref); got != digest {
				t.Errorf("the image is %s, not %s", got, digest)
			}
			provenanceOf(t, ref)
			packages, of := attachedSBOM(t, ref+".provenance")
			if test.want == nil {
				if packages != nil {
					t.Errorf("it has an SBOM with %v", packages)
				}
				return
			}
			base := s.Bases[plan.BuildpackRun].Identity
			want := append([]sbom.Package{{Name: "example.com/run:2", Version: string(base), PURL: sbom.ImagePURL("example.com/run", base)}}, test.want...)
			if diff := cmp.Diff(want, packages); diff != "" {
				t.Errorf("the packages differ (-want +got):\n%s", diff)
			}
			if !cmp.Equal(of, []plan.Digest{digest}) {
				t.Errorf("it is about %v, the image is %s", of, digest)
			}
		})
	}
}

// TestBuildpackSBOMIsRefused: a registry that does not accept the SBOM gets the image.
func TestBuildpackSBOMIsRefused(t *testing.T) {
	host, addr := images(t), buildkit(t)
	s := cnbSpec(t, host, builderImage(t, greetDetect, greetBuild+writeCDX), runImage(t))
	o := pushingOptions(t, workspace(t, files{"web/hello": "hello"}), addr)
	o.Attest = build.Attest{Beside: func(ref string) string { return ref + ".provenance" }}
	push := o.Push
	o.Push = func(ctx context.Context, ref string, image remote.Taggable, emit runtime.Emit) (plan.Digest, error) {
		if _, isIndex := image.(v1.ImageIndex); isIndex {
			return "", fmt.Errorf("it accepts no index")
		}
		return push(ctx, ref, image, emit)
	}
	_, r := mustBuild(t, withOptions(t, o), s, host+"/web:1")
	if text := r.text(); !strings.Contains(text, "the image of web has no provenance and no SBOM: it cannot be attached: it accepts no index") || !exists(t, host+"/web:1") {
		t.Errorf("the build warns\n%s", text)
	}
}
