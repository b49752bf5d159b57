package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// scannerImage returns an image that follows the protocol of BuildKit's scanners with a script of the
// shell. $found are the names of the files that it sees.
func scannerImage(t *testing.T, script string) string {
	t.Helper()
	from, err := name.ParseReference(testenv.Busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	shell, err := remote.Image(from)
	if err == nil {
		shell, err = mutate.Config(shell, v1.Config{Env: []string{"PATH=/bin"}, Entrypoint: []string{"sh", "-c", `found=$(cd "$BUILDKIT_SCAN_SOURCE" && echo *) && ` + script}})
	}
	if err != nil {
		t.Fatal(err)
	}
	digest, err := shell.Digest()
	if err != nil {
		t.Fatal(err)
	}
	to, err := name.NewDigest(testenv.Registry(t) + "/scanner@" + digest.String())
	if err == nil {
		err = remote.Write(to, shell)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to.String()
}

// statement writes an SBOM as a scanner does.
const statement = `printf '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","packages":[{"name":"%s","versionInfo":"1"}]}}' "$found" >"$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"`

// statements returns the statements beside an image, by platform.
func statements(t *testing.T, beside string) (all [][]string) {
	t.Helper()
	_, attestations := besideImage(t, beside)
	for _, image := range attestations {
		m, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, layer := range m.Layers {
			texts = append(texts, testenv.LayerText(t, image, layer.Digest))
		}
		all = append(all, texts)
	}
	return all
}

// TestScanner: the SBOM of each platform is beside its provenance, and the digest of the image is the
// one that it has without. The scanner is not a base image.
func TestScanner(t *testing.T) {
	t.Parallel()
	scanner := scannerImage(t, statement)
	for _, platforms := range [][]string{nil, {"linux/amd64", "linux/arm64"}} {
		t.Run(fmt.Sprint(len(platforms)), func(t *testing.T) {
			t.Parallel()
			reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/scanned"})
			if err != nil {
				t.Fatal(err)
			}
			rt := &Runtime{images: reg}
			rt.Registry = reg
			dir, spec := provenanceBuild(t, platforms...)
			o := attesting(t, dir, reg)
			plain := reg.Ref("web", plan.DigestOf([]byte(t.Name()+" plain")))
			want, _ := builtWith(t, o, spec, plain)
			o.Attest.Scanner = rt.scanner(Options{SBOM: scanner})
			ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
			b := build.New(o)
			defer b.Close()
			digest, err := b.Build(t.Context(), spec, ref, func(e runtime.Body) {
				if w, ok := e.(runtime.Warned); ok {
					t.Errorf("warned: %s", w.Diagnostic.Message)
				}
			})
			if err != nil || digest != want {
				t.Errorf("Build = %s, %v, and without an SBOM %s", digest, err, want)
			}
			if used := b.Bases(ref); used == nil || len(used) > 0 {
				t.Errorf("the base images are %v, want none", used)
			}
			found := statements(t, reg.Beside(ref))
			if len(found) != max(1, len(platforms)) {
				t.Errorf("%d attestation manifests, want one for each of %q", len(found), platforms)
			}
			for _, of := range found {
				all := strings.Join(of, "\n")
				if len(of) != 2 || !strings.Contains(all, `"https://spdx.dev/Document"`) || !strings.Contains(all, `"name":"x"`) || !strings.Contains(all, "slsa.dev/provenance") {
					t.Errorf("the attestations are %q, want provenance and the SBOM", of)
				}
			}
		})
	}
}

// TestScannerFails: an image is built without an SBOM if the scanner fails or cannot be used, and
// nothing is built twice.
func TestScannerFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, scanner string
		want          []string
	}{
		{"exit", scannerImage(t, "echo broken >&2; exit 3"), []string{"the image of web has no SBOM: the scanner ", "exit status 3"}},
		{"damaged", scannerImage(t, `echo '{' >"$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"`), []string{"the image of web has no SBOM: the scanner "}},
		{"unreachable", "127.0.0.1:1/scanner:1", []string{"images are built without an SBOM: the scanner that sbom= of pipeline() names cannot be used: ", "127.0.0.1:1 cannot be reached"}},
		{"missing", testenv.Registry(t) + "/missing/scanner:1", []string{"images are built without an SBOM: ", "missing/scanner:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/unscanned"})
			if err != nil {
				t.Fatal(err)
			}
			rt := &Runtime{images: reg}
			rt.Registry = reg
			dir, spec := provenanceBuild(t)
			o := attesting(t, dir, reg)
			o.Attest.Scanner = rt.scanner(Options{SBOM: test.scanner})
			ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
			digest, warnings := builtWith(t, o, spec, ref)
			if found, err := reg.Resolve(t.Context(), ref); err != nil || found != digest {
				t.Errorf("Resolve = %s, %v, want %s", found, err, digest)
			}
			if len(warnings) != 1 {
				t.Fatalf("the warnings are %q, want one", warnings)
			}
			for _, want := range test.want {
				if !strings.Contains(warnings[0], want) {
					t.Errorf("the warning is %q, want %q in it", warnings[0], want)
				}
			}
			if found := statements(t, reg.Beside(ref)); len(found) != 1 || len(found[0]) != 1 {
				t.Errorf("the attestations are %q, want provenance alone", found)
			}
		})
	}
}

// TestScannerNotBlamed: a build that fails is not repeated without the scanner.
func TestScannerNotBlamed(t *testing.T) {
	t.Parallel()
	reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/failed"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+testenv.Busybox(t)+"\nRUN echo once; exit 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := attesting(t, dir, reg)
	rt := &Runtime{images: reg}
	rt.Registry = reg
	o.Attest.Scanner = rt.scanner(Options{SBOM: scannerImage(t, statement)})
	b := build.New(o)
	defer b.Close()
	lines := 0
	_, err = b.Build(t.Context(), plan.BuildSpec{ID: "web", Source: plan.Source{Path: "."}, Context: ".", Dockerfile: "Dockerfile"},
		reg.Ref("web", plan.DigestOf([]byte(t.Name()))), func(e runtime.Body) {
			if l, ok := e.(runtime.Log); ok && l.Text == "once" {
				lines++
			}
		})
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || lines != 1 {
		t.Errorf("Build = %v, and the command ran %d times, want once", err, lines)
	}
}
