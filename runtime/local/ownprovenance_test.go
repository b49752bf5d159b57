package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

// TestCommandProvenance: an image that a command has written for two platforms has provenance and no SBOM, and
// is pruned with it.
func TestCommandProvenance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	index := v1.ImageIndex(empty.Index)
	platforms := []string{"linux/amd64", "linux/arm64"}
	for _, name := range platforms {
		p, err := v1.ParsePlatform(name)
		if err != nil {
			t.Fatal(err)
		}
		image, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = p.OS, p.Architecture
		if image, err = mutate.ConfigFile(image, config); err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: p}})
	}
	if _, err := layout.Write(filepath.Join(dir, "image"), index); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/written"})
	if err != nil {
		t.Fatal(err)
	}
	spec := plan.BuildSpec{
		ID: "web", Source: plan.Source{Path: "."}, Context: ".", Platforms: platforms, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 1},
		Command: &plan.BuildCommand{Args: []string{"cp", "-r", "image", "$(PIPE_OUTPUT)"}},
	}
	o := compiling(dir, reg)
	o.Environ = []string{"PATH=" + os.Getenv("PATH")}
	ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
	if err := reg.Note(t.Context(), ref, registry.Made{}); err != nil {
		t.Fatal(err)
	}
	digest, warnings := builtWith(t, o, spec, ref)
	if warnings != nil {
		t.Errorf("the warnings are %q", warnings)
	}
	byDigest := runtime.ByDigest(ref, digest)
	if found, err := reg.Attachments(t.Context(), byDigest, sbom.MaxSize, sbom.IsSBOM); err != nil || found.All != nil || found.Errs != nil {
		t.Errorf("the SBOMs are %+v, %v, want none", found, err)
	}
	found, err := reg.Attachments(t.Context(), byDigest, sbom.MaxSize, func(of string) bool { return !sbom.IsSBOM(of) })
	if err != nil || len(found.All) != 2 || found.Errs != nil {
		t.Fatalf("the provenance is %+v, %v, want one for each of %q", found, err, platforms)
	}
	for i, a := range found.All {
		if _, err := sbom.Read(a.Data); !errors.Is(err, sbom.ErrOther) || a.Platform != platforms[i] {
			t.Errorf("the provenance for %s is %s, %v", a.Platform, a.Data, err)
		}
	}
	checkPruned(t, reg, ref, digest)
}
