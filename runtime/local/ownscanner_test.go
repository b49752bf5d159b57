package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// compiledScanner compiles a program for builders of this machine's architecture as pipe-sbom beside pipe, and
// returns the path of pipe.
func compiledScanner(t *testing.T, main string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"os\"\n\nfunc main() {\n"+main+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "pipe-sbom-linux-"+goruntime.GOARCH), source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "pipe")
}

// TestOwnScanner: pipe-sbom beside pipe makes the SBOMs if no other scanner is named. Its image is stored once.
func TestOwnScanner(t *testing.T) {
	t.Parallel()
	exe := compiledScanner(t, `	text := `+"`"+`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","packages":[{"name":"own"}]}}`+"`"+`
	if err := os.WriteFile(os.Getenv("BUILDKIT_SCAN_DESTINATION")+"/x.spdx.json", []byte(text), 0o644); err != nil {
		panic(err)
	}`)
	reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/ownscanner"})
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	for i := range 2 {
		rt := &Runtime{images: reg, scanners: scannerPrograms(exe)}
		rt.Registry = reg
		dir, spec := provenanceBuild(t)
		o := attesting(t, dir, reg)
		plain := reg.Ref("web", plan.DigestOf(fmt.Append(nil, t.Name(), " plain ", i)))
		want, _ := builtWith(t, o, spec, plain)
		o.Attest.Scanner = rt.scanner(Options{})
		ref := reg.Ref("web", plan.DigestOf(fmt.Append(nil, t.Name(), i)))
		digest, warnings := builtWith(t, o, spec, ref)
		if digest != want || len(warnings) > 0 {
			t.Errorf("Build = %s with %q, and without an SBOM %s", digest, warnings, want)
		}
		if found := statements(t, reg.Beside(ref)); len(found) != 1 || !strings.Contains(strings.Join(found[0], "\n"), `"name":"own"`) {
			t.Errorf("the attestations are %q, want the SBOM of the program", found)
		}
		images = append(images, o.Attest.Scanner(t.Context(), func(runtime.Body) {}).Image)
	}
	if images[0] == "" || images[0] != images[1] {
		t.Errorf("the images of the same program are %q", images)
	}
	kept, err := reg.Kept(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	scanners := 0
	for _, k := range kept {
		if strings.HasSuffix(k.Repository, "/pipe-sbom") {
			scanners++
			if why, _ := k.Why(registry.Needs{}, 0); why != "" {
				t.Errorf("the image of the scanner is not removed when it is old: %s", why)
			}
		}
	}
	if scanners != 1 {
		t.Errorf("%d images of the scanner are kept, want one: %v", scanners, kept)
	}
}

// TestNoScanner: nothing is said about SBOMs if there is no scanner, or if they are switched off.
func TestNoScanner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pipe-sbom-linux-amd64"), []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "pipe-sbom-linux-arm64"), 0o700); err != nil {
		t.Fatal(err)
	}
	installed := scannerPrograms(filepath.Join(dir, "pipe"))
	if len(installed) != 1 || installed[0].arch != "amd64" {
		t.Errorf("the programs are %v, want that of amd64", installed)
	}
	for name, test := range map[string]struct {
		scanners []scannerProgram
		opts     Options
		want     bool
	}{
		"none":         {nil, Options{}, false},
		"named":        {nil, Options{SBOM: "scanner:1"}, true},
		"installed":    {installed, Options{}, true},
		"switched off": {installed, Options{NoSBOM: true}, false},
		"watch mode":   {installed, Options{SBOM: "scanner:1", NoSBOM: true}, false},
	} {
		if got := (&Runtime{scanners: test.scanners}).scanner(test.opts) != nil; got != test.want {
			t.Errorf("%s: there is a scanner: %v, want %v", name, got, test.want)
		}
	}
}

// TestOwnScannerAway: a registry that does not take the scanner is a warning, and the reason is in it.
func TestOwnScannerAway(t *testing.T) {
	t.Parallel()
	reg, err := registry.New(registry.Options{Prefix: "127.0.0.1:1/away"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pipe-sbom-linux-amd64"), []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	rt := &Runtime{images: reg, scanners: scannerPrograms(filepath.Join(dir, "pipe"))}
	var warnings []string
	scanner := rt.scanner(Options{})
	for range 2 {
		if got := scanner(t.Context(), func(e runtime.Body) {
			if w, ok := e.(runtime.Warned); ok {
				warnings = append(warnings, w.Diagnostic.Message)
			}
		}); got.Image != "" {
			t.Errorf("the scanner is %v, want none", got)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "images are built without an SBOM: the scanner pipe-sbom cannot be used: ") || !strings.Contains(warnings[0], "127.0.0.1:1 cannot be reached") {
		t.Errorf("the warnings are %q", warnings)
	}
	if _, err := rt.storeScanner(t.Context(), func(runtime.Body) {}); !errors.Is(err, runtime.ErrUnreachable) {
		t.Errorf("storeScanner = %v", err)
	}
}

// TestScannerImage: an image for each architecture whose program is installed, which runs that.
func TestScannerImage(t *testing.T) {
	t.Parallel()
	reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/scannerimage"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		if err := os.WriteFile(filepath.Join(dir, "pipe-sbom-linux-"+arch), []byte("program for "+arch), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	rt := &Runtime{images: reg, scanners: scannerPrograms(filepath.Join(dir, "pipe"))}
	stored, err := rt.storeScanner(t.Context(), func(runtime.Body) {})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(stored)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 2 {
		t.Fatalf("the index has %v, %v, want two images", m, err)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		image, err := index.Image(m.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil || config.Architecture != arch || config.OS != "linux" || fmt.Sprint(config.Config.Entrypoint) != "[/pipe-sbom]" || m.Manifests[i].Platform.Architecture != arch {
			t.Errorf("the image is %+v, %v, for %v", config, err, m.Manifests[i].Platform)
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != 1 || len(config.RootFS.DiffIDs) != 1 {
			t.Errorf("the image has %d layers, %v, want one", len(layers), err)
		}
	}
}

// TestOwnScannerElsewhere: a program for builders of another architecture only is a warning, and the image is built.
func TestOwnScannerElsewhere(t *testing.T) {
	t.Parallel()
	exe := filepath.Join(t.TempDir(), "pipe")
	if err := os.WriteFile(filepath.Join(filepath.Dir(exe), "pipe-sbom-linux-s390x"), []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	rt := &Runtime{images: reg, scanners: scannerPrograms(exe)}
	dir, spec := provenanceBuild(t)
	o := attesting(t, dir, reg)
	o.Attest.Scanner = rt.scanner(Options{})
	ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
	digest, warnings := builtWith(t, o, spec, ref)
	if found, err := reg.Resolve(t.Context(), ref); err != nil || found != digest {
		t.Errorf("Resolve = %s, %v, want %s", found, err, digest)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "the image of web has no SBOM: the scanner ") || !strings.Contains(warnings[0], "put its pipe-sbom-linux-ARCH beside pipe, too") {
		t.Errorf("the warnings are %q, want one that says what to do", warnings)
	}
}
