package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/render"
)

// TestRecordedAsHelm: although a worker renders the chart, the record of the release is the
// same as that of helm, with the templates of the chart, and the templates can see the kinds
// that the chart defines and the objects of the cluster.
func TestRecordedAsHelm(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	run := helm(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	group := strings.ReplaceAll(b.namespace, "-", "") + ".test"
	s := writeChart(t, dir, "web", map[string]string{
		"crds/thing.yaml":        strings.ReplaceAll(crd, "NAME.test", group),
		"templates/_helpers.tpl": `{{ define "web.name" }}{{ .Release.Name }}-{{ .Values.size }}{{ end }}`,
		"templates/one.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ include "web.name" . }}}
data:
  kinds: "{{ .Capabilities.APIVersions.Has "` + group + `/v1" }} {{ .Capabilities.KubeVersion.Major }}"
  revision: "{{ .Release.Revision }} {{ .Release.IsInstall }} {{ .Release.IsUpgrade }}"
  found: {{ (lookup "v1" "Namespace" "" "kube-system").metadata.name | quote }}
  none: {{ lookup "v1" "ConfigMap" .Release.Namespace "none" | toJson | quote }}
  template: {{ "{{ .Values.x }} {{- x -}}" | quote }}
`,
		"templates/hook.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: hook, annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}}
data: {size: "{{ .Values.size }}"}
`,
		"templates/NOTES.txt":               "size {{ .Values.size }} {{ .Release.Revision }}\n",
		"charts/sub/Chart.yaml":             "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"charts/sub/templates/two.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\ndata: {a: \"{{ .Values.a }}\"}\n",
		"charts/spare/Chart.yaml":           "apiVersion: v2\nname: spare\nversion: 1.0.0\n",
		"charts/spare/templates/never.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: never}\n",
		"Chart.yaml":                        "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n- {name: sub, version: 1.0.0}\n- {name: spare, version: 1.0.0, condition: spare.enabled}\n",
		"values.yaml":                       "size: 1\nsub: {a: b}\nspare: {enabled: false}\n",
		"values.schema.json":                `{"type": "object"}`,
	})
	other := namespace(t, config)
	args := []string{"web", filepath.Join(dir, "web"), "--namespace", other}
	for revision, size := range []string{"1", "2"} {
		s.Values = plan.Values{"size": int64(revision + 1)}
		b.deploy(s)
		if _, err := run(append([]string{"upgrade", "--install", "--create-namespace", "--set", "size=" + size}, args...)...); err != nil {
			t.Fatal(err)
		}
		want, got := recorded(t, other, revision+1), recorded(t, b.namespace, revision+1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("revision %d (-helm +pipe):\n%s", revision+1, diff)
		}
		if !strings.Contains(got, `"kinds": "true 1"`) && !strings.Contains(got, `kinds: \"true 1\"`) || strings.Contains(got, "name: never") {
			t.Errorf("revision %d: %s", revision+1, got)
		}
	}
}

// recorded returns Helm's record of a revision of the release web.
func recorded(t *testing.T, namespace string, revision int) string {
	t.Helper()
	rel, err := driver.NewSecrets(client(t, testenv.Cluster(t)).CoreV1().Secrets(namespace)).Get("sh.helm.release.v1.web.v" + string(rune('0'+revision)))
	if err != nil {
		t.Fatal(err)
	}
	rel.Info, rel.Labels, rel.Namespace = &release.Info{Notes: rel.Info.Notes, Status: rel.Info.Status, Description: rel.Info.Description}, nil, ""
	for _, h := range rel.Hooks {
		h.LastRun = release.HookExecution{Phase: h.LastRun.Phase}
	}
	data, err := json.MarshalIndent(rel, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), namespace, "NAMESPACE")
}

// bomb needs more memory than the limit of these tests, but not more than a machine has. As
// it uses lookup, it is not rendered before it is deployed.
const bomb = `{{ lookup "v1" "ConfigMap" "" "none" }}{{ range until 50000000 }}x{{ end }}`

// endless does not end, and does not allocate memory.
const endless = `{{ range until 100000 }}{{ range until 100000 }}{{ if false }}x{{ end }}{{ end }}{{ end }}`

// TestHostileChart: a chart that exceeds a limit is an error before it is deployed or, if it
// uses the cluster, during the deploy. Nothing of it is written, and the error names the
// chart, the template and the limit. The same holds for a comparison with the deployed
// release.
func TestHostileChart(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir, Render: render.Options{Memory: 200 << 20}})
	const want = "template evil/templates/bomb.yaml takes more than 200 MiB of memory to be rendered: correct the chart, or its values"
	evil := writeChart(t, dir, "evil", map[string]string{"templates/bomb.yaml": strings.TrimPrefix(bomb, `{{ lookup "v1" "ConfigMap" "" "none" }}`)})
	release := runtime.Release{Pipeline: "shop", Environment: "dev", Namespace: b.namespace, Service: evil}
	if _, err := b.Fingerprint(t.Context(), release); err == nil || err.Error() != "chart of evil: "+want {
		t.Errorf("Fingerprint = %v", err)
	}
	evil = writeChart(t, dir, "asks", map[string]string{"templates/bomb.yaml": bomb})
	release = b.release(evil)
	for name, try := range map[string]func() error{
		"Deploy":  func() error { return b.Act(t.Context(), runtime.Deploy, release, discard) },
		"Changes": func() error { _, err := b.Changes(t.Context(), release, false); return err },
	} {
		var bound *render.BoundError
		if err := try(); !errors.As(err, &bound) || *bound != (render.BoundError{Chart: "asks", Template: "asks/templates/bomb.yaml", Bound: "more than 200 MiB of memory"}) {
			t.Errorf("%s = %v", name, err)
		}
	}
	if d, err := b.Deployed(t.Context(), b.namespace); err != nil || len(d) > 0 {
		t.Errorf("deployed: %v, %v", d, err)
	}
}

// TestRenderStopped: the timeout of the service and the end of the context apply while a
// chart is rendered, whatever the reason for rendering is.
func TestRenderStopped(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	slow := writeChart(t, dir, "slow", map[string]string{"templates/a.yaml": endless})
	asks := writeChart(t, dir, "asks", map[string]string{"templates/a.yaml": `{{ lookup "v1" "ConfigMap" "" "none" }}` + endless})
	why := errors.New("enough")
	for name, try := range map[string]func(ctx context.Context, timeout time.Duration) error{
		"Fingerprint": func(ctx context.Context, timeout time.Duration) error {
			s := slow
			s.Timeout = plan.Duration(timeout)
			_, err := b.Fingerprint(ctx, runtime.Release{Namespace: b.namespace, Service: s})
			return err
		},
		"Deploy": func(ctx context.Context, timeout time.Duration) error {
			r := b.release(asks)
			r.Service.Timeout = plan.Duration(timeout)
			return b.Act(ctx, runtime.Deploy, r, discard)
		},
		"Changes": func(ctx context.Context, timeout time.Duration) error {
			r := b.release(asks)
			r.Service.Timeout = plan.Duration(timeout)
			_, err := b.Changes(ctx, r, false)
			return err
		},
	} {
		if err := try(t.Context(), 3*time.Second); !errors.Is(err, runtime.ErrTimeout) {
			t.Errorf("%s = %v, want a timeout", name, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(why) })
		if err := try(ctx, time.Hour); !errors.Is(err, why) {
			t.Errorf("%s = %v, want the cause of the cancellation", name, err)
		}
	}
}
