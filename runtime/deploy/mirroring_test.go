package deploy_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	ours "github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// An upstream is a registry of others. It refuses what is in private, has had too many
// requests for what is in limited, and does not answer for what is in slow.
type upstream struct {
	addr string

	mu       sync.Mutex
	requests []string // guarded by mu
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	has := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.requests = append(u.requests, r.Method+" "+r.URL.Path)
		u.mu.Unlock()
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/private/"):
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/v2/limited/"):
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case strings.HasPrefix(r.URL.Path, "/v2/slow/"):
			<-r.Context().Done()
		default:
			has.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	u.addr = strings.TrimPrefix(server.URL, "http://")
	return u
}

// push adds an image, and returns its digest.
func (u *upstream) push(t *testing.T, image string) v1.Hash {
	t.Helper()
	content, err := random.Image(1000, 1)
	must(t, err)
	ref, err := name.ParseReference(u.addr + "/" + image)
	must(t, err)
	must(t, remote.Write(ref, content))
	digest, err := content.Digest()
	must(t, err)
	return digest
}

// since returns the requests since the last call.
func (u *upstream) since() (out []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	out, u.requests = u.requests, nil
	return out
}

// A mirroring is an environment with a chart whose images are mirrored into a real registry.
type mirroring struct {
	*runtime.Runtime
	key      runtime.EnvironmentKey
	dir      string
	registry string
}

func newMirroring(t *testing.T, config *rest.Config) mirroring {
	t.Helper()
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("mirroring"), Name: "dev"}
	t.Cleanup(func() { deleteNamespace(client(t, config), key.Namespace()) })
	return mirroringOf(t, config, key, t.TempDir(), testenv.Registry(t)+"/"+key.Pipeline)
}

// mirroringOf returns a mirroring with a key, a workspace and a registry.
func mirroringOf(t *testing.T, config *rest.Config, key runtime.EnvironmentKey, dir, registry string) mirroring {
	t.Helper()
	m := mirroring{Runtime: runtimeOn(t, config), key: key, dir: dir, registry: registry}
	r, err := ours.New(ours.Options{Prefix: registry})
	must(t, err)
	patient(t, m.Runtime, config)
	m.Registry, m.Deployer = r, newDeployer(t, deploy.Options{Config: config, Dir: dir})
	return m
}

// plan is a plan with a chart whose Deployment has a container for each image.
func (m mirroring) plan(t *testing.T, images ...string) *plan.Plan {
	t.Helper()
	s := writeChart(t, m.dir, "web", map[string]string{"templates/d.yaml": `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      {{- range $i, $image := .Values.images }}
      - {name: c{{ $i }}, image: {{ $image | quote }}}
      {{- end }}
`})
	var list []any
	for _, image := range images {
		list = append(list, image)
	}
	s.Type, s.Stage, s.MirrorImages, s.Values = plan.Helm, "one", true, plan.Values{"images": list}
	return &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: m.key.Pipeline}, Environment: plan.EnvironmentRef{Name: m.key.Name, Kind: plan.KindEnvironment},
		Stages: []plan.Stage{{Name: "one", Order: 1}}, Services: []plan.Service{s},
	}
}

func (m mirroring) run(t *testing.T, p *plan.Plan) (*runtime.RunRecord, error) {
	t.Helper()
	record, err := m.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: m.key, Plan: p, WaitLock: true, By: "test"})
	return record, explainedRun(err)
}

// TestMirroring: a chart is deployed with images from a real registry, however it names them,
// and a run without a change asks for each of them once.
func TestMirroring(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	m, up := newMirroring(t, config), newUpstream(t)
	tagged, latest := up.push(t, "nginx:1"), up.push(t, "redis:latest")
	old := up.push(t, "tool:1")
	up.push(t, "tool:1") // the tag has moved
	images := []string{
		up.addr + "/nginx:1", up.addr + "/redis", up.addr + "/nginx@" + tagged.String(), up.addr + "/tool:1@" + old.String(), up.addr + "/nginx:1",
	}
	for i := range 40 {
		up.push(t, fmt.Sprintf("many/%d:1", i))
		images = append(images, fmt.Sprintf("%s/many/%d:1", up.addr, i))
	}
	p := m.plan(t, images...)
	if _, err := m.run(t, p); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, namespace: m.key.Namespace()}
	containers := b.containers("web")
	host := strings.NewReplacer(":", "_").Replace(up.addr)
	for i, want := range []string{"/nginx@" + tagged.String(), "/redis@" + latest.String(), "/nginx@" + tagged.String(), "/tool@" + old.String(), "/nginx@" + tagged.String()} {
		if want = m.registry + "/mirror/" + host + want; containers[i].Image != want {
			t.Errorf("container %d runs %s, want %s", i, containers[i].Image, want)
		}
	}
	for _, c := range containers {
		ref, err := name.NewDigest(c.Image)
		must(t, err)
		if err := testenv.Whole(ref); err != nil {
			t.Errorf("%s: %v", c.Image, err)
		}
	}

	up.since()
	record, err := m.run(t, p)
	if err != nil || record.Services[0].State != runtime.Unchanged {
		t.Errorf("a second run: %+v, %v", record.Services, err)
	}
	asked := make(map[string]int)
	for _, r := range up.since() {
		if r != "GET /v2/" { // asks how to log in
			asked[r]++
		}
	}
	for r, n := range asked {
		if !strings.HasPrefix(r, "HEAD ") || n != 1 {
			t.Errorf("a run without a change sends %d × %s", n, r)
		}
	}
	if len(asked) != 42 { // those named by digest are not asked for
		t.Errorf("a run without a change asks for %d images, want 42", len(asked))
	}
}

// TestMirroringFails: an image that cannot be copied is found before anything is written, and
// the error says where it is named and what to do.
func TestMirroringFails(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	m, up := newMirroring(t, config), newUpstream(t)
	up.push(t, "nginx:1")
	for _, test := range []struct{ name, image, want string }{
		{"missing", up.addr + "/none:1", "look for image " + up.addr + "/none:1: image " + up.addr + "/none:1: not found in registry " + up.addr + ": check the name and the tag"},
		{"401", up.addr + "/private/a:1", `or private: check the name, or run "docker login ` + up.addr + `"`},
		{"429", up.addr + "/limited/a:1", "received too many requests"},
		{"empty", "", "container c1: it names no image"},
		{"no tag", "nginx:", `"nginx:" is not an image reference`},
		{"space", "nginx 1", `"nginx 1" is not an image reference`},
		{"digest", up.addr + "/nginx@sha256:abc", "is not an image reference"},
	} {
		record, err := m.run(t, m.plan(t, up.addr+"/nginx:1", test.image))
		var run *runtime.RunError
		if !errors.As(err, &run) || len(run.Failed) != 1 {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		text := run.Failed[0].Error
		if !strings.HasPrefix(text, "chart web: deployment web, container c1: ") || !strings.Contains(text, test.want) {
			t.Errorf("%s: %s", test.name, text)
		}
		if advice, _ := runtime.AdviceOf(run.Failed[0].Err); !strings.Contains(advice.Do, `images = "keep"`) {
			t.Errorf("%s: advice %q", test.name, advice.Do)
		}
		if deployed, err := m.Deployer.Deployed(t.Context(), m.key.Namespace()); err != nil || len(deployed) > 0 || record.Services[0].State != runtime.Failed {
			t.Errorf("%s: deployed %v, %v", test.name, deployed, err)
		}
	}

	// All of them are found by one run.
	_, err := m.run(t, m.plan(t, up.addr+"/none:1", up.addr+"/nginx:1", up.addr+"/private/a:1", up.addr+"/none:2", up.addr+"/private/b:1"))
	var run *runtime.RunError
	if !errors.As(err, &run) {
		t.Fatal(err)
	}
	causes := runtime.Causes(run.Failed)
	for i, want := range []struct {
		text   string
		images [2]string
	}{
		{"not found in registry " + up.addr + ": check the name and the tag", [2]string{"/none:1: chart web: deployment web, container c0", "/none:2: chart web: deployment web, container c3"}},
		{"or private: check the name, or run", [2]string{"/private/a:1: chart web: deployment web, container c2", "/private/b:1: chart web: deployment web, container c4"}},
	} {
		if len(causes) != 2 || !strings.Contains(causes[i].Text, want.text) || !slices.Equal(causes[i].Images, []string{up.addr + want.images[0], up.addr + want.images[1]}) {
			t.Errorf("causes %+v, want %+v", causes, want)
		}
	}
}
