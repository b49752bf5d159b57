package build_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	provenancetypes "github.com/moby/buildkit/solver/llbsolver/provenance/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// A provenance is what is beside an image about it, for one platform.
type provenance struct {
	text      string
	predicate provenancetypes.ProvenancePredicateSLSA1 // as BuildKit reads it
}

// material returns the material with a name, as its URI and its digest.
func (p *provenance) material(t testing.TB, name string) (uri, digest string) {
	t.Helper()
	for _, d := range p.predicate.BuildDefinition.ResolvedDependencies {
		if d.Name == name {
			for algorithm, hex := range d.Digest {
				digest += algorithm + ":" + hex
			}
			return d.URI, digest
		}
	}
	t.Errorf("there is no material %s in %s", name, p.text)
	return "", ""
}

// provenanceOf returns the provenance beside an image, by platform. Each is about an image that has the
// digest of that platform in the image itself.
func provenanceOf(t testing.TB, ref string) map[string]*provenance {
	t.Helper()
	get := func(ref string) *remote.Descriptor {
		parsed, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Get(parsed)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	platforms := make(map[string]string) // by digest
	if image := get(ref); image.MediaType.IsIndex() {
		var list v1.IndexManifest
		if err := json.Unmarshal(image.Manifest, &list); err != nil {
			t.Fatal(err)
		}
		for _, d := range list.Manifests {
			if d.Platform.OS != "unknown" {
				platforms[d.Digest.String()] = d.Platform.String()
			}
		}
	} else {
		platforms[image.Digest.String()] = mustConfig(t, pull(t, ref)).Platform().String()
	}
	index, err := get(ref + ".provenance").ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*provenance)
	for _, d := range list.Manifests {
		of := d.Annotations["vnd.docker.reference.digest"]
		if of == "" {
			if platforms[d.Digest.String()] != d.Platform.String() {
				t.Errorf("%s is beside the image for %s", d.Digest, d.Platform)
			}
			continue
		}
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if manifest.Subject == nil || manifest.Subject.Digest.String() != of {
			t.Errorf("the subject is %+v, want %s", manifest.Subject, of)
		}
		for _, l := range manifest.Layers {
			if l.Annotations["in-toto.io/predicate-type"] != "https://slsa.dev/provenance/v1" {
				continue
			}
			p := &provenance{text: testenv.LayerText(t, image, l.Digest)}
			var statement struct {
				Type          string `json:"_type"`
				PredicateType string
				Subject       []struct{ Digest map[string]string }
				Predicate     *provenancetypes.ProvenancePredicateSLSA1
			}
			statement.Predicate = &p.predicate
			if err := json.Unmarshal([]byte(p.text), &statement); err != nil {
				t.Fatalf("%v: %s", err, p.text)
			}
			if len(statement.Subject) != 1 || "sha256:"+statement.Subject[0].Digest["sha256"] != of ||
				statement.Type != "https://in-toto.io/Statement/v1" || statement.PredicateType != "https://slsa.dev/provenance/v1" {
				t.Errorf("the statement about %s is %s", of, p.text)
			}
			if all[platforms[of]] != nil || platforms[of] == "" {
				t.Errorf("a statement about %s, which is for %q", of, platforms[of])
			}
			all[platforms[of]] = p
		}
	}
	if len(all) != len(platforms) {
		t.Fatalf("there is provenance for %d platforms, the image is for %v", len(all), platforms)
	}
	return all
}

// attesting returns a builder that writes provenance.
func attesting(t testing.TB, dir string, addresses ...string) *build.Builder {
	t.Helper()
	o := pushingOptions(t, dir, addresses...)
	o.Attest.Beside = func(ref string) string { return ref + ".provenance" }
	return withOptions(t, o)
}

// built builds an image with its provenance, and again without: its digest is the same.
func built(t testing.TB, dir string, s plan.BuildSpec, ref string, addresses ...string) map[string]*provenance {
	t.Helper()
	began := time.Now()
	digest, r := mustBuild(t, attesting(t, dir, addresses...), s, ref)
	if warnings := r.warnings(); len(warnings) > 0 {
		t.Errorf("the warnings are %v", warnings)
	}
	all := provenanceOf(t, ref)
	for platform, p := range all {
		run, definition := p.predicate.RunDetails, p.predicate.BuildDefinition
		if definition.BuildType != "https://github.com/pipelinefile/pipe/blob/main/docs/provenance.md" || run.Builder.ID != "https://github.com/pipelinefile/pipe" {
			t.Errorf("for %s, it is a %s of %s", platform, definition.BuildType, run.Builder.ID)
		}
		if m := run.Metadata; m == nil || m.StartedOn == nil || m.FinishedOn == nil || m.StartedOn.Before(began) || m.FinishedOn.Before(*m.StartedOn) || m.FinishedOn.After(time.Now()) {
			t.Errorf("for %s, it says %+v, and the test began at %s", platform, m, began)
		}
		for _, value := range []string{"value-of", dir} {
			if strings.Contains(p.text, value) {
				t.Errorf("for %s, it contains %s: %s", platform, value, p.text)
			}
		}
	}
	if plain, _ := mustBuild(t, commandBuilder(t, dir, addresses...), s, ref+"-plain"); plain != digest {
		t.Errorf("the image is %s, and without provenance %s", digest, plain)
	}
	return all
}

// TestProvenanceOfPrograms: the image of a Go program from a private repository, on a base image, for two
// platforms.
func TestProvenanceOfPrograms(t *testing.T) {
	host, repo := testenv.Registry(t)+"/programs", newRepository(t)
	commit := repo.commit(goModule())
	served := repo.serve("value-of-a-password")
	s := goSpec(t)
	s.Source.Git, s.Source.Ref = strings.Replace(served.url, "://", "://user:value-of-a-password@", 1), "main"
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	s.Go.Flags = []string{"-ldflags=-X main.token=value-of-a-flag", "-ldflags", "-X main.token=value-of-a-flag"}
	s.Go.Env["TOKEN"] = "value-of-a-variable"
	onBase(t, &s, host, platformIndex(map[string]v1.Image{"amd64": baseImage(t, "amd64"), "arm64": baseImage(t, "arm64")}))
	url := strings.Replace(served.url, "://", "://REDACTED@", 1)
	for platform, p := range built(t, t.TempDir(), s, host+"/web:1") {
		definition := p.predicate.BuildDefinition
		request, from := definition.ExternalParameters.Request, definition.ExternalParameters.ConfigSource
		if request.Frontend != "go_image" || request.Args["platform"] != "linux/amd64,linux/arm64" || len(request.Args) != 1 || request.Locals != nil || p.predicate.RunDetails.Metadata.Completeness.Request {
			t.Errorf("the request is %+v", request)
		}
		if from.URI != url+"#main" || from.Digest["sha1"] != commit || from.Path != "web/cmd/hello" {
			t.Errorf("the source is %+v", from)
		}
		if uri, digest := p.material(t, "source"); uri != url || digest != "sha1:"+commit {
			t.Errorf("the source is %s, %s", uri, digest)
		}
		if uri, digest := p.material(t, "base"); uri != "pkg:docker/example.com/base@1?platform="+strings.Replace(platform, "/", "%2F", 1) || digest != string(s.Bases[plan.GoBase].Identity) {
			t.Errorf("for %s, the base image is %s, %s", platform, uri, digest)
		}
		if version := p.predicate.RunDetails.Builder.Version["go"]; !strings.HasPrefix(version, "go1.") || strings.Contains(version, " ") {
			t.Errorf("the version of Go is %q", version)
		}
		if got := definition.InternalParameters.BuilderPlatform; !strings.HasPrefix(got, goruntime.GOOS+"/"+goruntime.GOARCH) {
			t.Errorf("it was built on %q", got)
		}
	}
}

// TestProvenanceOfWorkspace: files that are not those of a commit have no commit, but a digest, which changes
// with them.
func TestProvenanceOfWorkspace(t *testing.T) {
	host, repo := testenv.Registry(t)+"/workspace", newRepository(t)
	commit := repo.commit(goModule())
	s := goSpec(t)
	s.Go.Env = nil
	contextOf := func(ref string) string {
		o := pushingOptions(t, repo.dir)
		o.Environ = os.Environ()
		o.Attest.Beside = func(ref string) string { return ref + ".provenance" }
		mustBuild(t, withOptions(t, o), s, host+ref)
		for _, p := range provenanceOf(t, host+ref) {
			external := p.predicate.BuildDefinition.ExternalParameters
			if strings.Contains(p.text, commit) || external.ConfigSource.URI != "" || len(external.Request.Locals) != 1 || external.Request.Locals[0].Name != "context" || external.ConfigSource.Path != "web/cmd/hello" {
				t.Errorf("it is that of a commit, or of no directory: %s", p.text)
			}
			if !p.predicate.RunDetails.Metadata.Completeness.Request {
				t.Errorf("something was left out: %s", p.text)
			}
			uri, digest := p.material(t, "context")
			if uri != "" || !strings.HasPrefix(digest, "pipeContext:") {
				t.Errorf("the context is %s, %s", uri, digest)
			}
			return digest
		}
		return ""
	}
	first := contextOf("/web:1")
	if again := contextOf("/web:2"); again != first {
		t.Errorf("the same files are %s and %s", first, again)
	}
	files{"web/text/hello.txt": "not committed"}.write(t, repo.dir)
	if other := contextOf("/web:3"); other == first {
		t.Errorf("other files are %s, too", other)
	}
}

// TestProvenanceOfLocalRepository: where a repository is on this machine is not said.
func TestProvenanceOfLocalRepository(t *testing.T) {
	host, repo := testenv.Registry(t)+"/local", newRepository(t)
	commit := repo.commit(files{"web/main.txt": "main"})
	s := writes("layout")
	s.Source.Git, s.Source.Ref = repo.dir, "main"
	for _, p := range built(t, t.TempDir(), s, host+"/web:1") {
		if uri, digest := p.material(t, "source"); uri != "" || digest != "sha1:"+commit || strings.Contains(p.text, repo.dir) {
			t.Errorf("the source is %s, %s: %s", uri, digest, p.text)
		}
	}
}

// TestProvenanceOfCommands: the images in all forms that a command may write, without the values that the
// command gets.
func TestProvenanceOfCommands(t *testing.T) {
	both := []string{"linux/amd64", "linux/arm64"}
	for kind, platforms := range map[string][]string{"layout": nil, "docker": nil, "gzip": nil, "index": both, "platforms": both, "attested": both} {
		t.Run(kind, func(t *testing.T) {
			host, dir := testenv.Registry(t)+"/commands", workspace(t, files{"web/main.txt": "main", "web/other": "other"})
			s := commandSpec("/bin/sh", "-c", os.Args[0]+" write-image "+kind+" # value-of-an-argument")
			s.Command.Env = map[string]string{"TOKEN": "value-of-a-variable"}
			s.Command.Inputs = []string{"main.txt"}
			s.Platforms = platforms
			ref := host + "/" + kind + ":1"
			digests := make(map[string]bool)
			all := built(t, dir, s, ref)
			files{"web/other": "changed"}.write(t, dir)
			for platform, p := range built(t, dir, s, ref) {
				request := p.predicate.BuildDefinition.ExternalParameters.Request
				if request.Frontend != "command_build" || request.Args["program"] != "sh" || len(request.Args) != 2 || p.predicate.RunDetails.Metadata.Completeness.Request {
					t.Errorf("the request is %+v", request)
				}
				_, first := all[platform].material(t, "context")
				_, second := p.material(t, "context")
				digests[first], digests[second] = true, true
			}
			for digest := range digests {
				if len(digests) != 1 || !strings.HasPrefix(digest, "pipeContext:") {
					t.Errorf("the inputs are %v", digests)
				}
			}
		})
	}
}

// TestProvenanceOfBuildpacks: the buildpacks that took part, the builder and the run image, for two platforms.
func TestProvenanceOfBuildpacks(t *testing.T) {
	host, addr := testenv.Registry(t)+"/buildpacks", buildkit(t)
	both := func(img v1.Image) v1.ImageIndex {
		all := make(map[string]v1.Image)
		for _, architecture := range []string{"amd64", "arm64"} { // the programs are those of this machine, as if they were emulated
			all[architecture] = reconfigured(t, img, func(c *v1.ConfigFile) { c.Architecture = architecture })
		}
		return platformIndex(all)
	}
	s := cnbSpec(t, host, both(builderImage(t, greetDetect, greetBuild)), both(runImage(t)))
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	s.Buildpack.Env["TOKEN"] = "value-of-a-variable"
	all := built(t, workspace(t, files{"web/hello": "hello"}), s, host+"/web:1", addr)
	for platform, p := range all {
		of := strings.Replace(platform, "/", "%2F", 1)
		var got []string
		for _, d := range p.predicate.BuildDefinition.ResolvedDependencies {
			got = append(got, d.Name+" "+d.URI+" "+d.Digest["sha256"])
		}
		hex := func(arg string) string { return strings.TrimPrefix(string(s.Bases[arg].Identity), "sha256:") }
		want := []string{
			"context  ", "builder pkg:docker/example.com/builder@1?platform=" + of + " " + hex(plan.BuildpackBuilder),
			"run pkg:docker/example.com/run@2?platform=" + of + " " + hex(plan.BuildpackRun), "test/greet urn:cnb:builder:test/greet@1 ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("for %s, the materials differ (-want +got):\n%s", platform, diff)
		}
		if version := p.predicate.RunDetails.Builder.Version["lifecycle"]; version != "0.20.11" {
			t.Errorf("the version of the lifecycle is %q", version)
		}
		if request := p.predicate.BuildDefinition.ExternalParameters.Request; request.Frontend != "buildpack" || strings.Contains(p.text, "good morning") {
			t.Errorf("the request is %+v: %s", request, p.text)
		}
	}
}

// TestProvenanceIsRefused: a registry that does not accept it gets the image, with a warning.
func TestProvenanceIsRefused(t *testing.T) {
	host := images(t)
	o := pushingOptions(t, workspace(t, files{"web/main.txt": "main"}))
	o.Attest.Beside = func(ref string) string { return ref + ".provenance" }
	push := o.Push
	o.Push = func(ctx context.Context, ref string, image remote.Taggable, emit runtime.Emit) (plan.Digest, error) {
		if _, isIndex := image.(v1.ImageIndex); isIndex {
			return "", errors.New("it accepts no index")
		}
		return push(ctx, ref, image, emit)
	}
	_, r := mustBuild(t, withOptions(t, o), writes("layout"), host+"/web:1")
	all := r.warnings()
	if len(all) != 1 || all[0].Message != "the image of web has no provenance: it cannot be attached: it accepts no index" || !exists(t, host+"/web:1") {
		t.Errorf("the build warns %v", all)
	}
}
