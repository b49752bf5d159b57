package eject

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/strvals"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
)

const program = `
pipeline("shop")
db = database("db", engine = "postgresql", version = "17", database = "shop", user = "owner", shared_memory = "64Mi")
uploads = disk("uploads", size = "1Gi", access = "ReadWriteMany", storage_class = "nfs")
job("migrate", image = "shop/migrate:3", env = {"DB": db.url})
job("backup", image = "shop/backup:1", on = "stop", env = {"PASSWORD": db.password})
job("report", image = "shop/report:1", schedule = "0 3 * * *", time_zone = "Europe/Berlin", concurrency = "Forbid", history = 5, deadline = "10m", retries = 2, termination = "40s")
container("cache", image = "redis:7", chart = chart("helm/cache", values_files = ["small.yaml"]), values = {"level": "warn",
    "numbers": {"tag": 20190612073634, "limit": 1000000, "ratio": 1.5, "whole": 1.0, "round": 1e6, "a.b,c=d[0]\\\\": [1, {"most": 9223372036854775807}]}})
application("api", source = local("api"), build = dockerfile(), ports = [port(8080, public = True, host = "shop.example.com")],
    env = {"DB": db.url_for("jdbc"), "KEY": secret("STRIPE_KEY"), "LEVEL": "info", "IP": field("status.podIP"), "MODE": config_map("m", key = "k")}, values = {"terminationGracePeriodSeconds": 31},
    volumes = [volume("/data", size = "1Gi"), uploads.at("/srv"), existing_volume("media").at("/media", read_only = True), scratch("/tmp")],
    files = {"/etc/app.conf": "a\n", "/etc/conf.d": {"key": file(secret("tls", key = "tls.key"), mode = 0o440), "bin": b"\x00\xff"}}, health = http("/health"), labels = {"team": "shop"},
    patch = patch("Deployment", merge = {"spec": {"template": {"spec": {"hostNetwork": True, "containers": [{"name": "api", "workingDir": "/srv"}]}}}}),
    init = [init("schema", command = ["/migrate"], env = {"DB": db.url})],
    sidecars = [sidecar("proxy", image = "envoyproxy/envoy:v1.31.0", health = tcp(9901), mounts = ["/data"])])
container("every", image = "nginx:1",
    ports = [
        port(8080, name = "http", service = 80, public = True, host = "every.example.com", path = "/x", tls = secret("cert"), annotations = {"a": "b"}, kind = "ClusterIP"),
        port(9090, kind = "NodePort", node_port = 31000), port(5000, protocol = "UDP", kind = "LoadBalancer"), port(7000, kind = "headless"),
    ],
    command = ["nginx"], args = ["-g", "daemon off;"], secrets = {"TOKEN": secret("token")},
    resources = resources(cpu = "100m", memory = "64Mi", cpu_limit = "1", memory_limit = "128Mi"),
    health = http("/ready", port = 8080, headers = {"Host": "every"}, period = "10s", timeout = "2s", failures = 4, delay = "1s"),
    liveness = grpc(9090, service = "live", period = "11s", timeout = "3s", failures = 5, delay = "2s"),
    startup = command("started", period = "12s", timeout = "4s", failures = 6, delay = "3s"),
    pre_stop = command("sleep", "5"), termination = "60s", annotations = {"c": "d"},
    autoscale = autoscale(2, 10, cpu = 80, memory = "512Mi"), disruption = disruption(max_unavailable = 1), strategy = strategy(surge = 1, unavailable = 0),
    spread = ["zone", spread("host", required = True)], network = [db],
    rbac = [rule(["pods"], ["get"], groups = [""], names = ["one"]), rule(["nodes"], ["list"], cluster = True)],
    volumes = [scratch("/cache", size = "1Gi", memory = True), existing_volume("shared", access = "ReadWriteMany").at("/shared")],
    files = {"/etc/shop.yaml": file(source = "small.yaml")},
    init = [init("wait", image = "busybox:1"), init("load", source = local("api"), build = dockerfile(), command = ["sh"], args = ["-c", "true"], secrets = {"A": secret("token")}, resources = resources(cpu = "1m"), mounts = ["/cache"])],
    sidecars = [sidecar("agent", source = local("api"), build = dockerfile(args = {"V": "1"}), command = ["agent"], args = ["-v"], env = {"B": "c"}, secrets = {"A": secret("token")}, resources = resources(cpu = "1m"), health = tcp(1234, period = "5s", timeout = "1s", failures = 2, delay = "9s"))],
    patch = [patch("Service", "every", json = [{"op": "add", "path": "/metadata/labels/z", "value": "y"}])])
container("agents", image = "agent:1", daemon = True, service_account = "agents", strategy = strategy(unavailable = 1), disruption = disruption(min_available = "50%"))
container("single", image = "agent:1", replicas = 1, strategy = strategy(recreate = True), volumes = [volume("/data", size = "1Gi", name = "data", storage_class = "fast", access = "ReadWriteOnce")])
database("cache-db", engine = "mysql", version = "8", image = "mysql:8", storage = "2Gi", options = {"max_connections": 10})
container("off", image = "nginx:1", skip = True)
helm("queue", chart = chart("helm/cache"), images = "keep", namespace = "queues", values_files = ["small.yaml"], values = {"image": {"repository": "nats"}})
manifests("extra", "k8s.yaml", images = "keep", namespace = "extras", *[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dict"}, "data": {"text": "{{ .Values.x }}"}}])
`

// workspace returns a directory with the program, and the plan of the program.
func workspace(t testing.TB) (string, *plan.Plan) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Pipelinefile":                    program,
		"api/Dockerfile":                  "FROM scratch\n",
		"k8s.yaml":                        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n# two\napiVersion: v1\nkind: Secret\nmetadata: {name: two}\n",
		"small.yaml":                      "memory: 10Mi\nlevel: debug\n",
		"helm/cache/Chart.yaml":           "apiVersion: v2\nname: cache\nversion: 1.2.3\n",
		"helm/cache/values.yaml":          "memory: 1Gi\nlevel: info\nimage:\n  repository: redis\n  tag: latest\n",
		"helm/cache/templates/cache.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: cache}\ndata: {image: \"{{ .Values.image.repository }}:{{ .Values.image.tag }}\", memory: {{ .Values.memory }}, level: {{ .Values.level }}, env: {{ .Values.global.pipe.environment }}, numbers: {{ .Values.numbers | quote }}}\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	p, err := interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), interp.Options{
		Root: dir, Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, p
}

// rendered renders a chart as Helm does.
func rendered(t *testing.T, c *helmchart.Chart, values map[string]any, service string) map[string]string {
	t.Helper()
	if err := chartutil.ProcessDependenciesWithMerge(c, values); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: service, Namespace: "shop-staging", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestSameObjects renders the written charts as helm upgrade does, with a reference for
// each built image, and compares the objects with those of a deploy with the same
// images. A deploy also adds the checksum of secrets, see [readme].
func TestSameObjects(t *testing.T) {
	dir, p := workspace(t)
	out := filepath.Join(dir, "deploy", "charts")
	result, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: out})
	if err != nil {
		t.Fatal(err)
	}
	shelf := chart.NewShelf(dir, t.TempDir())
	var names []string
	for _, s := range result.Services {
		names = append(names, s.Name)
		service := *p.Service(s.Name)
		made, err := shelf.Chart(t.Context(), service, chart.SecretKey)
		if err != nil {
			t.Fatal(err)
		}
		written, err := loader.Load(filepath.Join(out, s.Chart))
		if err != nil {
			t.Fatal(err)
		}
		values, err := chartutil.ReadValuesFile(filepath.Join(out, s.Values))
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range s.sets {
			if err := strvals.ParseInto(set, values); err != nil {
				t.Errorf("--set %s: %v", set, err)
			}
		}
		if s.Built { // set it as the README explains
			values = chartutil.CoalesceTables(map[string]any{"image": map[string]any{"reference": "registry/shop/api@sha256:abc"}}, values)
			s.Image = "registry/shop/api@sha256:abc"
		}
		images := make(map[string]string)
		for _, im := range s.Images {
			if images[im.Name] = im.Image; im.Built {
				images[im.Name] = "registry/shop/api@sha256:abc"
				values = chartutil.CoalesceTables(map[string]any{"images": map[string]any{im.Name: images[im.Name]}}, values)
			}
		}
		use := chart.Use{Pipeline: "shop", Environment: "staging", Service: s.Name, Image: s.Image, Images: images, Values: service.Values}
		deployed, err := made.Copy()
		if err != nil {
			t.Fatal(err)
		}
		want := rendered(t, deployed, made.Values(use), s.Name)
		got := rendered(t, written, values, s.Name)
		if len(got) == 0 {
			t.Errorf("%s has no objects", s.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the objects of %s differ (-deployed +written):\n%s", s.Name, diff)
		}
		for _, m := range lint.All(filepath.Join(out, s.Chart), values, "shop-staging", true).Messages {
			if m.Severity > support.InfoSev && s.Name != "cache" {
				t.Errorf("helm lint %s: %v", s.Name, m)
			}
		}
	}
	if diff := cmp.Diff([]string{"db", "cache-db", "migrate", "backup", "report", "cache", "every", "agents", "single", "api", "queue", "extra"}, names); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

// TestAwkwardNames checks that names that YAML would read as a number, a bool or null
// are still strings in the written charts and values.
func TestAwkwardNames(t *testing.T) {
	dir := t.TempDir()
	const program = `pipeline("1e3")
names = ["404", "y", "on", "null", "1e3", "0x1f", "true"]
for name in names:
    container(name, image = "i:1", env = {n: n for n in ["YES", "ON", "TRUE", "y", "_1", "null"]}, labels = {n: n for n in names},
        secrets = {"S" + n: secret(n, key = n) for n in names}, values = {"podAnnotations": {n: n for n in names}},
        ports = [port(80, name = "e1", public = True, host = "1." + str(names.index(name))), port(81, name = "y")] if name[0].isalpha() else [], volumes = [volume("/1", name = name, size = "1e9")])
    job("j-" + name, image = "i:1", args = names)
`
	if err := os.WriteFile(filepath.Join(dir, "Pipelinefile"), []byte(program), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), interp.Options{Root: dir, Environment: plan.EnvironmentRef{Name: "on"}})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	result, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: out})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range result.Services {
		written, err := loader.Load(filepath.Join(out, s.Chart))
		if err != nil {
			t.Fatal(err)
		}
		values, err := chartutil.ReadValuesFile(filepath.Join(out, s.Values))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.All(filepath.Join(out, s.Chart), values, "1e3-on", true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("helm lint %s: %v", s.Name, m)
			}
		}
		for file, text := range rendered(t, written, values, s.Name) {
			if filepath.Ext(file) != ".yaml" || strings.TrimSpace(text) == "" {
				continue
			}
			var object struct {
				Metadata struct {
					Name   string
					Labels map[string]string
				}
				Spec struct {
					Template struct {
						Metadata struct{ Annotations map[string]string }
						Spec     struct {
							Containers []struct {
								Name string
								Args []string
								Env  []struct{ Name, Value string }
							}
						}
					}
				}
			}
			if err := yaml.Unmarshal([]byte(text), &object); err != nil {
				t.Fatalf("%s: %v in\n%s", file, err, text)
			}
			name := object.Metadata.Name
			if strings.HasPrefix(s.Name, "j-") && strings.HasSuffix(file, "/job.yaml") || strings.HasSuffix(file, "/volumes.yaml") {
				name = name[:strings.LastIndex(name, "-")]
			}
			if name != s.Name || object.Metadata.Labels["app.kubernetes.io/name"] != s.Name {
				t.Errorf("%s of %s has the name %q in\n%s", file, s.Name, object.Metadata.Name, text)
			}
			for _, c := range object.Spec.Template.Spec.Containers {
				for _, e := range c.Env {
					if e.Value != "" && e.Value != e.Name {
						t.Errorf("variable %q = %q in\n%s", e.Name, e.Value, text)
					}
				}
				if c.Name != s.Name || !slices.Equal(c.Args, p.Service(s.Name).Workload.Args) || len(c.Env) != len(p.Service(s.Name).Workload.Env) {
					t.Errorf("container %+v in\n%s", c, text)
				}
			}
			for key, value := range object.Spec.Template.Metadata.Annotations {
				if key != value {
					t.Errorf("annotation %q = %q in\n%s", key, value, text)
				}
			}
		}
	}
}

// TestEnvOrder checks that variables are in the order of the Pipelinefile, because
// Kubernetes expands $(NAME) only for earlier variables (D9). Those of secrets= come
// first, and those of a database engine come before the database's own.
func TestEnvOrder(t *testing.T) {
	dir := t.TempDir()
	const program = `pipeline("order")
container("a", image = "x:1", env = {"Z_BASE": "http://x", "API": "$(Z_BASE)/api", "KEY": secret("key"), "M": "$(KEY)"}, secrets = {"Z": "z", "A": "a"})
database("d", engine = "postgresql", version = "15", env = {"Z": "$(POSTGRES_DB)", "B": "$(Z)"})
`
	if err := os.WriteFile(filepath.Join(dir, "Pipelinefile"), []byte(program), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), interp.Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := p.JSON() // as stored in the cluster
	if err != nil {
		t.Fatal(err)
	}
	p = &plan.Plan{}
	if err := json.Unmarshal(stored, p); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if _, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: out}); err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string][]string{
		"a": {"Z", "A", "Z_BASE", "API", "KEY", "M"},
		"d": {"PGDATA", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_USER", "Z", "B"},
	} {
		written, err := loader.Load(filepath.Join(out, service))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for file, text := range rendered(t, written, map[string]any{"image": map[string]any{"reference": "x:1"}}, service) {
			var object struct {
				Spec struct {
					Template struct {
						Spec struct {
							Containers []struct{ Env []struct{ Name string } }
						}
					}
				}
			}
			if filepath.Ext(file) != ".yaml" {
				continue
			}
			if err := yaml.Unmarshal([]byte(text), &object); err != nil {
				t.Fatalf("%s: %v in\n%s", file, err, text)
			}
			for _, c := range object.Spec.Template.Spec.Containers {
				for _, e := range c.Env {
					names = append(names, e.Name)
				}
			}
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("variables of %s (-want +got):\n%s", service, diff)
		}
	}
}

// TestOnStop checks that a job that runs on stop comes after the deployed services.
func TestOnStop(t *testing.T) {
	_, p := workspace(t)
	r := &Result{}
	for _, s := range p.Services {
		r.Services = append(r.Services, Service{Name: s.Name, Stage: s.Stage, plan: s})
	}
	text := readme(r)
	at := strings.Index(text, "\n### backup, on stop\n\nIt is not part of a deployment. Deploy it before you stop the environment.\n")
	if last := strings.LastIndex(text, "helm upgrade --install backup "); at < strings.Index(text, "helm upgrade --install api ") || last < at {
		t.Errorf("backup does not come after the deployed services:\n%s", text)
	}
	if n := strings.Count(text, "--install backup "); n != 1 {
		t.Errorf("backup is deployed %d times:\n%s", n, text)
	}
}

// TestNoPassword checks that the password of a chart repository is used but not
// written (D4).
func TestNoPassword(t *testing.T) {
	dir, p := workspace(t)
	c, err := loader.LoadDir(filepath.Join(dir, "helm", "cache"))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := chartutil.Save(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/index.yaml" {
			_, _ = w.Write([]byte("apiVersion: v1\nentries: {cache: [{apiVersion: v2, name: cache, version: 1.2.3, urls: [cache.tgz]}]}\n"))
			return
		}
		http.ServeFile(w, r, archive)
	}))
	defer server.Close()
	list := filepath.Join(t.TempDir(), "repositories.yaml")
	if err := os.WriteFile(list, []byte("repositories: [{name: a, url: "+server.URL+", username: ana, password: hunter2}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HELM_REPOSITORY_CONFIG", list)
	p.Service("cache").Chart = &plan.Chart{Ref: "cache", Version: "1.2.3", Repo: server.URL}
	out := filepath.Join(dir, "charts")
	result, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: out, Services: []string{"cache"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Services[0].Repo; got != server.URL {
		t.Errorf("the repository is %s, want %s", got, server.URL)
	}
	for _, name := range result.Files {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "hunter2") {
			t.Errorf("%s contains the password:\n%s", name, text)
		}
		if want := " cache cache --repo " + server.URL + " --version 1.2.3 "; name == readmeName && !strings.Contains(string(text), want) {
			t.Errorf("%s does not contain %q:\n%s", name, want, text)
		}
	}
}

func TestNamedServices(t *testing.T) {
	dir, p := workspace(t)
	result, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: filepath.Join(dir, "charts"), Services: []string{"off", "cache"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"README.md", "cache.values.yaml", "off.values.yaml", "off/Chart.yaml",
		"off/templates/NOTES.txt", "off/templates/_helpers.tpl", "off/templates/_pod.tpl", "off/templates/deployment.yaml",
		"off/templates/ingress.yaml", "off/templates/service.yaml", "off/templates/serviceaccount.yaml", "off/templates/volumes.yaml",
		"off/values.schema.json", "off/values.yaml",
	}
	if diff := cmp.Diff(want, result.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	on, err := filesOf(filepath.Join(dir, "charts"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, on); diff != "" {
		t.Errorf("files on disk (-want +got):\n%s", diff)
	}
}

// TestNothingHalf checks that a failed Write leaves the directory as it was, and no
// temporary directory.
func TestNothingHalf(t *testing.T) {
	dir, p := workspace(t)
	out := filepath.Join(dir, "out", "charts")
	opts := Options{Workspace: dir, Cache: t.TempDir(), Dir: out, Services: []string{"api"}}
	if _, err := Write(t.Context(), p, opts); err != nil {
		t.Fatal(err)
	}
	same := func(file, want string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(out, file))
		if err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", file, got, err, want)
		}
		entries, err := os.ReadDir(filepath.Dir(out))
		if err != nil || len(entries) != 1 {
			t.Errorf("the parent directory contains %v, %v; want one entry", entries, err)
		}
	}
	mine := filepath.Join(out, "mine")
	if err := os.WriteFile(mine, []byte("kept"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), p, opts); err == nil || !strings.Contains(err.Error(), "is not empty; choose another with --dir") {
		t.Errorf("Write over a directory = %v", err)
	}
	same("mine", "kept")

	opts.Force = true
	full := errors.New("no space left on device")
	err := replace(out, func(next string) error {
		if err := os.WriteFile(filepath.Join(next, "half"), nil, 0o666); err != nil {
			return err
		}
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("replace = %v, want %v", err, full)
	}
	same("mine", "kept")

	broken := *p
	broken.Services = append([]plan.Service{}, p.Services...)
	broken.Service("api").Chart = &plan.Chart{Ref: "helm/none"}
	if _, err := Write(t.Context(), &broken, opts); err == nil || !strings.Contains(err.Error(), "service api: chart helm/none") {
		t.Errorf("Write of a chart that does not exist = %v", err)
	}
	same("mine", "kept")

	if _, err := Write(t.Context(), p, opts); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old directory is not replaced: %v", err)
	}

	if err := os.WriteFile(filepath.Join(out, readmeName), []byte("# Ours\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), p, opts); err == nil || !strings.Contains(err.Error(), "was not written by pipe eject") {
		t.Errorf("Write over a directory of another origin = %v", err)
	}
	same(readmeName, "# Ours\n")
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{"a=b": "a=b", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "u?x": "'u?x'"} {
		if got := quote(word); got != want {
			t.Errorf("quote(%q) = %s, want %s", word, got, want)
		}
	}
}

// TestGitChart checks that a chart of a git repository is written as files, because
// Helm cannot fetch it.
func TestGitChart(t *testing.T) {
	dir, p := workspace(t)
	repository := t.TempDir()
	if err := os.CopyFS(repository, os.DirFS(filepath.Join(dir, "helm"))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"}, {"add", "--all"},
		{"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message=x"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = repository
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	p.Service("queue").Chart = &plan.Chart{Git: "file://" + repository, Ref: "cache", Version: "main"}
	out := filepath.Join(dir, "out")
	result, err := Write(t.Context(), p, Options{Workspace: dir, Cache: t.TempDir(), Dir: out, Services: []string{"queue"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Services[0].Chart; got != "./queue" {
		t.Errorf("the chart is %s", got)
	}
	written, err := loader.Load(filepath.Join(out, "queue"))
	if err != nil {
		t.Fatal(err)
	}
	was, err := loader.Load(filepath.Join(repository, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"global": map[string]any{"pipe": map[string]any{"environment": "staging"}}, "numbers": "1"}
	if diff := cmp.Diff(rendered(t, was, values, "queue"), rendered(t, written, values, "queue")); diff != "" {
		t.Errorf("the written chart renders other objects (-want +got):\n%s", diff)
	}
	if readme, err := os.ReadFile(filepath.Join(out, "README.md")); err != nil || !strings.Contains(string(readme), "helm upgrade --install queue ./queue ") {
		t.Errorf("README.md has no command for the chart: %v\n%s", err, readme)
	}
}
