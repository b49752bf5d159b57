package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// provenanceBuild returns a build of a context with an argument and a secret.
func provenanceBuild(t *testing.T, platforms ...string) (dir string, spec plan.BuildSpec) {
	t.Helper()
	dir = t.TempDir()
	for file, content := range map[string]string{"Dockerfile": "FROM scratch\nARG TOKEN\nLABEL token=$TOKEN\nCOPY x /x\n", "x": t.Name()} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, plan.BuildSpec{
		ID: "web", Source: plan.Source{Path: "."}, Context: ".", Dockerfile: "Dockerfile", Platforms: platforms,
		Args: map[string]string{"TOKEN": "value-of-an-argument"}, Labels: map[string]string{"given": "value-of-a-label"},
		Secrets: []plan.SecretRef{{Name: "npm"}},
		Pos:     plan.Pos{File: "Pipelinefile", Line: 3, Col: 1},
	}
}

// mounted has all secrets.
type mounted struct{}

func (mounted) Secret(context.Context, plan.SecretRef) (runtime.Secret, error) {
	return runtime.NewSecret("value-of-a-secret"), nil
}

// attesting returns the options of a builder that attaches provenance to the images of reg.
func attesting(t *testing.T, dir string, reg *registry.Registry) build.Options {
	t.Helper()
	return build.Options{Dir: dir, Addresses: []string{testenv.BuildKit(t)}, Secrets: mounted{}, Attest: build.Attest{Beside: reg.Beside, Publish: reg.Publish}}
}

func builtWith(t *testing.T, o build.Options, spec plan.BuildSpec, ref string) (digest plan.Digest, warnings []string) {
	t.Helper()
	b := build.New(o)
	defer b.Close()
	digest, err := b.Build(t.Context(), spec, ref, func(e runtime.Body) {
		if w, ok := e.(runtime.Warned); ok {
			warnings = append(warnings, w.Diagnostic.Message+"; "+w.Diagnostic.Hint)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return digest, warnings
}

// TestProvenance: an image has the digest that it has without provenance, and beside it is an
// index with provenance of each of its platforms, in which no value is.
func TestProvenance(t *testing.T) {
	t.Parallel()
	for _, platforms := range [][]string{nil, {"linux/amd64", "linux/arm64"}} {
		t.Run(fmt.Sprint(len(platforms)), func(t *testing.T) {
			t.Parallel()
			reg, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/attested"})
			if err != nil {
				t.Fatal(err)
			}
			dir, spec := provenanceBuild(t, platforms...)
			o := attesting(t, dir, reg)
			ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
			digest, warnings := builtWith(t, o, spec, ref)
			if found, err := reg.Resolve(t.Context(), ref); err != nil || found != digest || len(warnings) > 0 {
				t.Errorf("Resolve = %s, %v, want %s; warnings %q", found, err, digest, warnings)
			}
			o.Attest = build.Attest{}
			if plain, _ := builtWith(t, o, spec, ref+"-plain"); plain != digest {
				t.Errorf("the digest is %s, and without provenance %s", digest, plain)
			}

			images, provenance := besideImage(t, reg.Beside(ref))
			if want := max(1, len(platforms)); len(images) != want || len(provenance) != want {
				t.Fatalf("the index has %d images and %d manifests of provenance, want %d", len(images), len(provenance), want)
			}
			for _, image := range provenance {
				m, err := image.Manifest()
				if err != nil {
					t.Fatal(err)
				}
				if m.Subject == nil || !images[m.Subject.Digest] {
					t.Errorf("the subject is %+v, want one of %v", m.Subject, images)
				}
				for _, d := range m.Layers {
					text := testenv.LayerText(t, image, d.Digest)
					var statement struct {
						PredicateType string
						Predicate     struct {
							RunDetails struct{ Builder struct{ ID string } }
						}
					}
					if err := json.Unmarshal([]byte(text), &statement); err != nil {
						t.Fatalf("%v in %s", err, text)
					}
					if id := statement.Predicate.RunDetails.Builder.ID; statement.PredicateType != "https://slsa.dev/provenance/v1" || id != "https://github.com/pipelinefile/pipe" {
						t.Errorf("it is a %s of the builder %q: %s", statement.PredicateType, id, text)
					}
					for _, value := range []string{"value-of-an-argument", "value-of-a-label", "value-of-a-secret", dir} {
						if strings.Contains(text, value) {
							t.Errorf("it contains %s: %s", value, text)
						}
					}
				}
			}
		})
	}
}

// besideImage returns the digests of the images in the index beside an image, and the manifests with
// attestations of them.
func besideImage(t *testing.T, beside string) (images map[v1.Hash]bool, attestations []v1.Image) {
	t.Helper()
	parsed, err := name.ParseReference(beside)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(parsed)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images = map[v1.Hash]bool{}
	for _, d := range list.Manifests {
		if d.Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
			images[d.Digest] = true
			continue
		}
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		attestations = append(attestations, image)
	}
	return images, attestations
}

// TestProvenanceRefused: a registry that accepts no index gets the image alone, with a warning.
func TestProvenanceRefused(t *testing.T) {
	t.Parallel()
	to, err := url.Parse("http://" + testenv.Registry(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	picky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.Header.Get("Content-Type"), "index") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_INVALID","message":"no index here"}]}`)
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
	dir, spec := provenanceBuild(t)
	ref := reg.Ref("web", plan.DigestOf([]byte(t.Name())))
	digest, warnings := builtWith(t, attesting(t, dir, reg), spec, ref)
	if found, err := reg.Resolve(t.Context(), ref); err != nil || found != digest {
		t.Errorf("Resolve = %s, %v, want %s", found, err, digest)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "the image of web has no provenance: the registry does not accept it: ") || !strings.Contains(warnings[0], "no index here") {
		t.Errorf("the warnings are %q", warnings)
	}
}
