package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/sbom"
)

// goBuild returns a build of a Go program that uses a module of a directory.
func goBuild(t *testing.T, platforms ...string) (dir string, spec plan.BuildSpec) {
	t.Helper()
	dir = t.TempDir()
	for file, content := range map[string]string{
		"go.mod":     "module example.com/web\n\ngo 1.21\n\nrequire example.com/dep v1.2.0\n\nreplace example.com/dep => ./dep\n",
		"main.go":    "package main\n\nimport \"example.com/dep\"\n\nfunc main() { println(dep.Text) }\n",
		"dep/go.mod": "module example.com/dep\n\ngo 1.21\n",
		"dep/dep.go": "package dep\n\nvar Text = \"" + t.Name() + "\"\n",
	} {
		file = filepath.Join(dir, file)
		err := os.MkdirAll(filepath.Dir(file), 0o700)
		if err == nil {
			err = os.WriteFile(file, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return dir, plan.BuildSpec{
		ID: "web", Source: plan.Source{Path: "."}, Context: ".", Platforms: platforms, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 1},
		Go: &plan.GoBuild{Package: ".", Flags: []string{"-ldflags=-s -w"}, Env: map[string]string{"GOCACHE": strings.TrimSpace(string(cache)), "GOPROXY": "off"}},
	}
}

// compiling returns the options of a builder that compiles Go programs.
func compiling(dir string, reg *registry.Registry) build.Options {
	return build.Options{
		Dir: dir, Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere"},
		Push: reg.Push, Pull: func(ctx context.Context, ref string) (*remote.Descriptor, error) { return reg.Pull(ctx, ref) },
		Attest: build.Attest{Beside: reg.Beside, Publish: reg.Publish},
	}
}

// TestGoSBOM: the image of a Go program has the digest that it has without an SBOM, and beside it is the
// SBOM of each of its platforms, which is removed with it.
func TestGoSBOM(t *testing.T) {
	t.Parallel()
	for _, platforms := range [][]string{{"linux/" + goruntime.GOARCH}, {"linux/amd64", "linux/arm64"}} {
		t.Run(fmt.Sprint(len(platforms)), func(t *testing.T) {
			t.Parallel()
			reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + fmt.Sprint("/compiled", len(platforms))})
			if err != nil {
				t.Fatal(err)
			}
			dir, spec := goBuild(t, platforms...)
			o := compiling(dir, reg)
			ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
			if err := reg.Note(t.Context(), ref, registry.Made{}); err != nil {
				t.Fatal(err)
			}
			digest, warnings := builtWith(t, o, spec, ref)
			if warnings != nil {
				t.Errorf("the warnings are %q", warnings)
			}
			elsewhere := reg.Ref("again", plan.DigestOf([]byte(t.Name())))
			if again, _ := builtWith(t, o, spec, elsewhere); again != digest {
				t.Errorf("built again, the image is %s; want %s", again, digest)
			}
			o.Attest = build.Attest{}
			if plain, _ := builtWith(t, o, spec, reg.Ref("plain", plan.DigestOf([]byte(t.Name())))); plain != digest {
				t.Errorf("the digest is %s, and without an SBOM %s", digest, plain)
			}

			found, err := reg.Attachments(t.Context(), runtime.ByDigest(ref, digest), sbom.MaxSize, sbom.IsSBOM)
			if err != nil || len(found.All) != len(platforms) || found.Errs != nil {
				t.Fatalf("Attachments = %+v, %v, want one for each of %q", found, err, platforms)
			}
			again, err := reg.Attachments(t.Context(), runtime.ByDigest(elsewhere, digest), sbom.MaxSize, sbom.IsSBOM)
			if err != nil || !reflect.DeepEqual(again.All, found.All) {
				t.Errorf("built again, the SBOMs are %+v, %v, first %+v", again, err, found)
			}
			made, err := reg.Attachments(t.Context(), runtime.ByDigest(ref, digest), sbom.MaxSize, func(of string) bool { return of == "https://slsa.dev/provenance/v1" })
			if err != nil || len(made.All) != len(platforms) || made.Errs != nil {
				t.Errorf("the provenance is %+v, %v, want one for each of %q", made, err, platforms)
			}
			for i, a := range found.All {
				d, err := sbom.Read(a.Data)
				if err != nil || len(platforms) > 1 && a.Platform != platforms[i] || len(d.Packages) != 3 || d.Packages[0] != (sbom.Package{Name: "example.com/dep"}) ||
					d.Packages[1] != (sbom.Package{Name: "example.com/web"}) || d.Packages[2].PURL != "pkg:golang/stdlib@"+strings.TrimPrefix(d.Packages[2].Version, "go") {
					t.Errorf("the SBOM for %s is %+v, %v", a.Platform, d, err)
				}
				if strings.Contains(string(a.Data), dir) {
					t.Errorf("%s is in the SBOM", dir)
				}
			}

			checkPruned(t, reg, ref, digest)
		})
	}
}

// checkPruned prunes the image at ref, which nobody needs, and checks that what is beside it is removed with it.
func checkPruned(t *testing.T, reg *registry.Registry, ref string, digest plan.Digest) {
	t.Helper()
	kept, err := reg.Kept(t.Context(), []string{ref})
	if err != nil {
		t.Fatal(err)
	}
	removed, err := reg.Prune(t.Context(), kept, registry.PruneOptions{Needs: func(context.Context) (registry.Needs, error) { return registry.Needs{}, nil }})
	if err != nil || len(removed) != 1 || removed[0].Digest != digest {
		t.Fatalf("Prune = %+v, %v, want %s", removed, err, digest)
	}
	for _, ref := range []string{ref, reg.Beside(ref)} {
		if _, err := reg.Resolve(t.Context(), ref); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("after Prune, %s: %v", ref, err)
		}
	}
}

// TestGoSBOMRefused: a registry that accepts no index gets the image alone, with a warning.
func TestGoSBOMRefused(t *testing.T) {
	t.Parallel()
	to, err := url.Parse("http://" + testenv.Registry(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	picky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.Header.Get("Content-Type"), "index") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "no index here")
			return
		}
		r.Host = to.Host
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(picky.Close)
	reg, err := registry.New(registry.Options{Prefix: strings.TrimPrefix(picky.URL, "http://") + "/picky"})
	if err != nil {
		t.Fatal(err)
	}
	dir, spec := goBuild(t, "linux/"+goruntime.GOARCH)
	ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
	digest, warnings := builtWith(t, compiling(dir, reg), spec, ref)
	if found, err := reg.Resolve(t.Context(), ref); err != nil || found != digest {
		t.Errorf("Resolve = %s, %v, want %s", found, err, digest)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "the image of web has no provenance and no SBOM: it cannot be attached: ") {
		t.Errorf("the warnings are %q", warnings)
	}
}
