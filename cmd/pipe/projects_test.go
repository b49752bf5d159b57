package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestProjects: the pipelines in testdata/projects, which have the shape of known projects, are laid out, lint without a
// finding, are ejected to charts that Helm accepts, and are deployed to an API server, which warns of no field, and whose pods
// become ready without running. Their sources are stand-ins, and so are the charts of others; a chart repository and the
// registries are those of the test.
func TestProjects(t *testing.T) {
	table, err := os.ReadFile("../../bench/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/projects/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no projects: %v", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(serversHome(t, "simulated"), "cluster", "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 1000, 2000
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, file)
			row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(filepath.Base(t.Name())) + "` .*\\| (\\d+) \\|$").FindSubmatch(table)
			if row == nil || string(row[1]) != strconv.Itoa(p.lines) {
				t.Errorf("the Pipelinefile has %d lines; the row of bench/README.md: %s", p.lines, row)
			}
			p.cluster = config
			p.pipe(t, "fmt", "--check")
			if out := p.pipe(t, "lint"); !strings.Contains(out, "no findings") && strings.TrimSpace(out) != "" {
				t.Errorf("pipe lint: %s", out)
			}
			p.eject(t)
			out := p.pipe(t, "run", "--env", p.env, "--progress", "plain")
			if !regexp.MustCompile(`(?m)^deploy .*: \d+ done`).MatchString(out) || strings.Contains(out, "failed") {
				t.Errorf("pipe run: %s", out)
			}
			if strings.Contains(out, "the cluster warns") { // such as of an unknown field
				t.Errorf("pipe run: %s", out)
			}
			if out := p.pipe(t, "plan", "--env", p.env); !strings.Contains(out, "nothing to do") {
				t.Errorf("pipe plan after the run: %s", out)
			}
		})
	}
}

// A project is a pipeline with its workspace.
type project struct {
	dir, home, env string
	sets, secrets  []string // flags
	lines          int      // of the Pipelinefile, without blank lines and comments
	world          *runtimetest.World
	cluster        *rest.Config
}

// newProject extracts a project. Its comment has lines "set: NAME=VALUE" for parameters; the values of its secrets are in
// secrets.env.
func newProject(t *testing.T, file string) *project {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &project{dir: t.TempDir(), home: t.TempDir(), env: "staging", world: runtimetest.NewWorld()}
	for line := range strings.Lines(string(archive.Comment)) {
		if set, ok := strings.CutPrefix(line, "set: "); ok {
			p.sets = append(p.sets, "--set", strings.TrimSpace(set))
		}
	}
	for line := range strings.Lines(string(archive.Files[0].Data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			p.lines++
		}
	}
	for _, f := range archive.Files {
		if f.Name == "secrets.env" {
			p.secrets = []string{"--secrets", f.Name}
		}
	}
	repository := chartRepository(t, string(archive.Files[0].Data))
	for _, f := range archive.Files {
		text := regexp.MustCompile(`repo = "https://[^"]*"`).ReplaceAll(f.Data, []byte(`repo = "`+repository+`"`))
		write(t, p.dir, f.Name, string(text))
	}
	return p
}

// pipe runs the command and returns its output. Its status must be 0.
func (p *project) pipe(t *testing.T, args ...string) string {
	t.Helper()
	var out safeBuffer
	switch args[0] {
	case "run", "plan":
		args = append(args, p.secrets...)
		fallthrough
	case "eject":
		args = append(args, p.sets...)
	}
	a := &app{
		args: args, dir: p.dir, exe: filepath.Join(p.dir, "pipe"), user: "ana@laptop", now: time.Now,
		environ: []string{"PIPE_HOME=" + p.home},
		stdin:   strings.NewReader(""), stdout: &out, stderr: &out,
		terminal: func() bool { return false },
		signals:  make(chan os.Signal),
		exit:     func(int) {},
		open: func(_ context.Context, opts local.Options) (*local.Runtime, error) {
			d, err := deploy.New(deploy.Options{Config: p.cluster, Dir: opts.Dir, CacheDir: p.home, Secrets: opts.Secrets})
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { _ = d.Close() })
			rt := p.world.Runtime()
			rt.Deployer, rt.Registry = d, everyImage{p.world.Registry}
			return &local.Runtime{Runtime: *rt}, nil
		},
	}
	if status := a.main(); status != 0 {
		t.Fatalf("pipe %s: status %d\n%s", strings.Join(args, " "), status, out.String())
	}
	return out.String()
}

// eject ejects the project and lints the charts as "helm lint --strict" does.
func (p *project) eject(t *testing.T) {
	t.Helper()
	out := t.TempDir()
	var result struct {
		Services []struct {
			Name, Chart, Repo, Values string
			Built                     bool
		}
	}
	text := p.pipe(t, "eject", "--dir", out, "--env", p.env, "--force", "--progress", "quiet", "-o", "json")
	if err := yaml.Unmarshal([]byte(text), &result); err != nil || len(result.Services) == 0 {
		t.Fatalf("pipe eject: %v\n%s", err, text)
	}
	for _, s := range result.Services {
		if s.Repo != "" {
			continue
		}
		values, err := chartutil.ReadValuesFile(filepath.Join(out, s.Values))
		if err != nil {
			t.Fatal(err)
		}
		if s.Built {
			values = chartutil.CoalesceTables(map[string]any{"image": map[string]any{"reference": "registry.test/" + s.Name + "@sha256:abc"}}, values)
		}
		for _, m := range lint.All(filepath.Join(out, s.Chart), values, p.env, true).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("helm lint %s: %v", s.Name, m)
			}
		}
	}
}

// everyImage is a registry that has every image of other registries.
type everyImage struct{ *runtimetest.Registry }

func (r everyImage) Resolve(ctx context.Context, ref string) (plan.Digest, error) {
	r.Upstream(ref, digestOf(ref))
	return r.Registry.Resolve(ctx, ref)
}

func (r everyImage) Mirrored(ctx context.Context, src string) (string, bool, error) {
	r.Upstream(src, digestOf(src))
	return r.Registry.Mirrored(ctx, src)
}

var _ runtime.Registry = everyImage{}

func digestOf(ref string) plan.Digest {
	return plan.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(ref))))
}

// named matches a chart of a repository.
var named = regexp.MustCompile(`chart\(\s*"([a-z0-9-]+)",\s*repo = "https://[^"]*",\s*version = "([^"]+)"`)

// chartRepository serves a chart for each that a Pipelinefile names: a Deployment, and a ConfigMap with its values.
func chartRepository(t *testing.T, pipelinefile string) string {
	t.Helper()
	type entry struct {
		APIVersion string   `json:"apiVersion"`
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		URLs       []string `json:"urls"`
	}
	dir, entries := t.TempDir(), make(map[string][]entry)
	for _, m := range named.FindAllStringSubmatch(pipelinefile, -1) {
		c := &chart.Chart{
			Metadata: &chart.Metadata{APIVersion: chart.APIVersionV2, Name: m[1], Version: m[2]},
			Templates: []*chart.File{
				{Name: "templates/values.yaml", Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-values'}\ndata: {values: '{{ toJson .Values | b64enc }}'}\n")},
				{Name: "templates/deployment.yaml", Data: []byte(`apiVersion: apps/v1
kind: Deployment
metadata: {name: '{{ .Release.Name }}', labels: {app: '{{ .Release.Name }}'}}
spec:
  selector: {matchLabels: {app: '{{ .Release.Name }}'}}
  template:
    metadata: {labels: {app: '{{ .Release.Name }}'}}
    spec: {containers: [{name: main, image: "example.com/other:1"}]}
`)},
			},
		}
		archive, err := chartutil.Save(c, dir)
		if err != nil {
			t.Fatal(err)
		}
		entries[m[1]] = append(entries[m[1]], entry{"v2", m[1], m[2], []string{filepath.Base(archive)}})
	}
	index, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "entries": entries})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "index.yaml", string(index))
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return server.URL
}
