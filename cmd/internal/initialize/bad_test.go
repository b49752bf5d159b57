package initialize

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// bomb returns a document of a few lines that expands to 10^9 values.
func bomb() string {
	text := "services:\n  web: {image: 'a:1'}\nx-0: &x0 [1,1,1,1,1,1,1,1,1,1]\n"
	for i := 1; i < 10; i++ {
		text += fmt.Sprintf("x-%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d,", i-1), 10), ","))
	}
	return text
}

// TestBad checks that invalid input is an error that names the problem and its
// position, in bounded time.
func TestBad(t *testing.T) {
	for name, test := range map[string]struct{ from, files, want string }{
		"empty":               {"", "", "found no compose file"},
		"a language":          {"", "-- go.mod --\nmodule x\n", "only Go (go.mod); write a Dockerfile next to it"},
		"not YAML":            {"", "-- compose.yaml --\nservices: [\n", "compose.yaml is not valid YAML"},
		"not a mapping":       {"", "-- compose.yaml --\n- a\n", "compose.yaml is not a compose file"},
		"no service":          {"", "-- compose.yaml --\nservices: {}\n", "compose.yaml"},
		"an unknown field":    {"", "-- compose.yaml --\nservices:\n  web: {image: 'a:1', imgae: b}\n", "services.web.imgae"},
		"another kind":        {"x.yaml", "-- x.yaml --\na: 1\n", "is not a compose file (services:), helmfile (releases:) or Kubernetes manifest"},
		"binary":              {"", "-- compose.yaml --\nservices: \x00\n", "compose.yaml is not valid UTF-8"},
		"aliases":             {"", "-- compose.yaml --\n" + bomb(), "excessive aliasing"},
		"an alias of itself":  {"", "-- compose.yaml --\nservices: &a {web: *a}\n", "contains itself"},
		"aliases in helmfile": {"", "-- helmfile.yaml --\n" + strings.Replace(bomb(), "services", "releases", 1), "excessive aliasing"},
		"deep":                {"", "-- compose.yaml --\nservices: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "\n", "compose.yaml"},
		"huge":                {"", "-- compose.yaml --\n" + strings.Repeat("#", maxFile+1) + "\n", "reads files of at most 1048576"},
		"includes itself":     {"", "-- compose.yaml --\ninclude: [compose.yaml]\nservices: {web: {image: 'a:1'}}\n", "include cycle"},
		"a circle":            {"", "-- compose.yaml --\ninclude: [b.yaml]\n-- b.yaml --\ninclude: [compose.yaml]\nservices: {web: {image: 'a:1'}}\n", "include cycle"},
		"extends in a circle": {"", "-- compose.yaml --\nservices:\n  a: {extends: {service: b}}\n  b: {extends: {service: a}}\n", "Circular reference"},
		"extends outside":     {"", "-- compose.yaml --\nservices:\n  a: {extends: {file: ../x.yaml, service: b}}\n", "extends names ../x.yaml, which is not a file in the directory"},
		"include outside":     {"", "-- compose.yaml --\ninclude: [/etc/passwd]\n", "include names /etc/passwd, which is not a file in the directory"},
		"include elsewhere":   {"", "-- compose.yaml --\ninclude: ['https://example.com/c.yaml']\n", "which is not a file in the directory"},
		"env outside":         {"", "-- compose.yaml --\ninclude: [{path: b.yaml, env_file: ../.env}]\n-- b.yaml --\nservices: {web: {image: 'a:1'}}\n", "outside of the directory"},
		"depends in a circle": {"", "-- compose.yaml --\nservices:\n  a: {image: 'a:1', depends_on: [b]}\n  b: {image: 'b:1', depends_on: [a]}\n", "dependency cycle detected"},
		"a missing need":      {"", "-- compose.yaml --\nservices:\n  a: {image: 'a:1', depends_on: [b]}\n", "depends on undefined service"},
		"a variable":          {"", "-- compose.yaml --\nservices:\n  a: {image: 'a:1', ports: ['${PORT}:80']}\n", "compose.yaml"},
		"a wrong .env":        {"", "-- .env --\nopensesame opensesame\n-- compose.yaml --\nservices: {a: {image: 'a:1'}}\n", ".env is not a valid env file"},
		"a wrong object":      {"x.yaml", "-- x.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: 3\n", "x.yaml: the Deployment is not valid"},
		"no workload":         {"x.yaml", "-- x.yaml --\napiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n", "x.yaml declares no service"},
		"Skaffold":            {"skaffold.yaml", "-- skaffold.yaml --\napiVersion: skaffold/v4beta11\nkind: Config\n", "docs/howto/from-skaffold.md shows what becomes what"},
		"Tilt":                {"Tiltfile", "-- Tiltfile --\nk8s_yaml('x')\n", "docs/howto/from-tilt.md shows what becomes what"},
		"a kustomization":     {"k/kustomization.yaml", "-- k/kustomization.yaml --\nresources: []\n", "name its directory: --from k"},
		"a remote base":       {"k", "-- k/kustomization.yaml --\nresources: ['https://example.com/base', ../b]\n-- b/kustomization.yaml --\nresources: []\n", "run kustomize build k > FILE"},
		"a wrong overlay":     {"k", "-- k/kustomization.yaml --\nresources: {\n", "k/kustomization.yaml is not valid YAML"},
		"an empty overlay":    {"k", "-- k/kustomization.yaml --\n", "k declares no service"},
		"outside":             {"../x", "-- Dockerfile --\nFROM scratch\n", "is outside of the directory"},
		"missing":             {"x.yaml", "-- Dockerfile --\nFROM scratch\n", "x.yaml does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := unpack(t, txtar.Parse([]byte(test.files)), "bad")
			got, err := Make(t.Context(), Options{Dir: dir, From: test.from})
			if err == nil {
				t.Fatalf("no error, got\n%s", got.Text)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "opensesame") {
				t.Errorf("got %v, want %s", err, test.want)
			}
			var nothing *NothingError
			if errors.As(err, &nothing) != (test.want == "found no compose file" || strings.HasPrefix(test.want, "only")) {
				t.Errorf("%T", err)
			}
		})
	}
}

// TestLinks checks that symbolic links out of the directory are never followed.
func TestLinks(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.yaml")
	if err := os.WriteFile(secret, []byte("services: {web: {image: 'opensesame:1'}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]string{
		"compose.yaml": "",
		"b.yaml":       "-- compose.yaml --\ninclude: [b.yaml]\n",
		"c.yaml":       "-- compose.yaml --\nservices: {web: {extends: {file: c.yaml, service: web}}}\n",
		".env":         "-- compose.yaml --\nservices: {web: {image: 'a:1'}}\n",
		"d/.env":       "-- compose.yaml --\ninclude: [d/c.yaml]\n-- d/c.yaml --\nservices: {web: {image: 'a:1'}}\n",
	} {
		dir := unpack(t, txtar.Parse([]byte(files)), "links")
		if err := os.Symlink(secret, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
		from := ""
		if files == "" {
			from = name
		}
		got, err := Make(t.Context(), Options{Dir: dir, From: from})
		if err == nil {
			t.Errorf("%s: no error, got\n%s", name, got.Text)
		} else if strings.Contains(err.Error(), "opensesame") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStrange checks that unusual but valid input becomes a valid Pipelinefile.
func TestStrange(t *testing.T) {
	const lints = "# lint: ignore nothing"
	for name, files := range map[string]string{
		"names":        "-- compose.yaml --\nservices:\n  ___: {image: 'a:1'}\n  '1': {image: 'postgres:16'}\n  " + strings.Repeat("x", 80) + ": {image: 'a:1'}\n  use: {image: 'b:1', environment: {U: 'postgres://a:b@1/x'}}\n",
		"comments":     "-- compose.yaml --\nservices:\n  web:\n    image: 'a:1'\n    volumes: ['./x\\ny" + lints + ":/x']\n    labels: {\"a\\n" + lints + "\": b}\n",
		"images":       "-- compose.yaml --\nservices:\n  a: {image: 'Not Valid'}\n  b: {image: '${REGISTRY}/b:${TAG}'}\n  c: {image: 'x@sha256:12'}\n  d: {build: {context: ../out}}\n  e: {build: ./none}\n",
		"values":       "-- helmfile.yaml --\nreleases:\n- {name: a, chart: x, values: [{a: .nan, b: .inf, c: 1e300, d: 9223372036854775807, e: 2001-01-01, f: [[{}]], g: \"\\u2028\\t\"}]}\n- {name: a, chart: 'y/z', version: 1.10}\n- {chart: ''}\n",
		"everything":   "-- compose.yaml --\nservices:\n  a:\n    image: 'a:1'\n    command: ['x', '--password=opensesame']\n    entrypoint: sh -c 'echo $$(id)'\n    ports: ['53:53/udp', '53:53', '8000-8002:8000-8002']\n    expose: ['1-3']\n    cap_add: [CAP_NET_ADMIN]\n    privileged: true\n    read_only: true\n    user: www\n    tmpfs: /tmp\n    shm_size: 1g\n    network_mode: host\n    deploy: {replicas: 0, resources: {limits: {cpus: '0.25', memory: 50M}, reservations: {cpus: '1', memory: 1g}}}\n    volumes: ['v:/', '/anon', 'v:/v']\n    secrets: [s]\n    configs: [c]\n    healthcheck: {test: [NONE]}\nvolumes: {v: {}}\nsecrets: {s: {file: ./s}}\nconfigs: {c: {file: ./c}}\n",
		"a list":       "-- k8s/x.json --\n{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"A\"}, \"spec\": {\"containers\": [{\"name\": \"a\", \"image\": \"a:1\", \"envFrom\": [{\"secretRef\": {\"name\": \"s\"}}]}]}}]}\n-- k8s/y.yaml --\napiVersion: v1\nkind: Secret\n",
		"wrong things": "-- k8s/x.yaml --\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: ''}\nspec: {schedule: '61 - * * *', jobTemplate: {spec: {template: {spec: {containers: [{name: a}]}}}}}\n---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: b}\nspec:\n  template:\n    spec:\n      containers:\n      - name: b\n        image: 'b:1'\n        env: [{name: ADDRESS, value: 'shop:opensesame@tcp(db:3306)/shop'}]\n        ports: [{containerPort: 80, name: 'A b'}, {containerPort: 0}]\n        resources: {requests: {cpu: 2, memory: 1}, limits: {cpu: 1, memory: 8080}}\n        volumeMounts: [{name: v, mountPath: /}, {name: v, mountPath: /-}]\n  volumeClaimTemplates: [{metadata: {name: v}}]\n",
		"no chart":     "-- helmfile.yaml --\nrepositories: [{name: r, url: 'https://charts.example.com'}]\nreleases: [{name: a, chart: r/}, {name: b, chart: r/b, version: 1.10}]\n",
		"no container": "-- k8s/x.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: a}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {a: a}, ports: [{port: 80, targetPort: web}, {port: 81}]}\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: b}\nspec: {rules: [{host: x, http: {paths: [{backend: {service: {name: a, port: {name: web}}}}]}}]}\n",
		"two hosts":    "-- k8s/x.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: a}}\nspec: {containers: [{name: a, image: 'a:1'}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {a: b}}\nspec: {containers: [{name: a, image: 'a:1', resources: {limits: {cpu: 0.1, memory: 1e9}}}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort, selector: {a: a}, ports: [{port: 80}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {type: NodePort, selector: {a: b}, ports: [{port: 80}]}\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: b}\nspec: {rules: [{host: '*.example.com', http: {paths: [{path: /b, backend: {service: {name: b, port: {number: 80}}}}]}}]}\n",
		"includes":     "-- compose.yaml --\ninclude: [sub/compose.yaml]\nservices: {web: {image: 'a:1', extends: {file: base.yaml, service: base}}}\n-- base.yaml --\nservices: {base: {environment: {A: b}}}\n-- sub/compose.yaml --\nservices: {api: {build: ., env_file: [x.env]}}\n-- sub/x.env --\nTOKEN=opensesame\nA=1\n-- sub/Dockerfile --\nFROM scratch\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := check(t, unpack(t, txtar.Parse([]byte(files)), "strange"), "")
			if testing.Verbose() {
				t.Logf("%s", got.Text)
			}
		})
	}
}
