package deploy

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// TestVisitImages: the images of all built-in kinds that run pods are found and replaced,
// and nothing else is changed.
func TestVisitImages(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"pod", `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {initContainers: [{name: i, image: init}], containers: [{name: c, image: main}], ephemeralContainers: [{name: e, image: debug}]}}`, "init|pod a, init container i main|pod a, container c debug|pod a, ephemeral container e"},
		{"volume", `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: main}], volumes: [{name: v, image: {reference: files, pullPolicy: Always}}, {name: w, emptyDir: {}}]}}`, "main|pod a, container c files|pod a, volume v"},
		{"template", `{apiVersion: v1, kind: PodTemplate, metadata: {name: a}, template: {spec: {containers: [{name: c, image: main}]}}}`, "main|podtemplate a, container c"},
		{"controller", `{apiVersion: v1, kind: ReplicationController, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, image: main}]}}}}`, "main|replicationcontroller a, container c"},
		{"deployment", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, image: main}]}}}}`, "main|deployment a, container c"},
		{"stateful set", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, image: main}]}}}}`, "main|statefulset a, container c"},
		{"daemon set", `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, image: main}]}}}}`, "main|daemonset a, container c"},
		{"replica set", `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, image: main}]}}}}`, "main|replicaset a, container c"},
		{"job", `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, image: main}]}}}}`, "main|job a, container c"},
		{"cron job", `{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: main}]}}}}}}`, "main|cronjob a, container c"},
		{"hook", `{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {helm.sh/hook: test}}, spec: {containers: [{name: c, image: main}]}}`, "main|pod a, container c"},
		{"list", `{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: one}]}}, {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c, image: two}]}}]}`, "one|pod a, container c two|pod b, container c"},
		{"documents", "# one\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec:\n  containers:\n  - {name: c, image: main}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: d}\nspec: {containers: [{name: c, image: other}]}\n", "main|pod b, container c other|pod d, container c"},
		{"none", `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c}, {name: d, image: ""}, {name: e, image: 1}]}}`, "|pod a, container c |pod a, container d |pod a, container e"},
		{"anchor", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx: &x {name: c, image: main}\nspec: {containers: [*x, {<<: *x, name: d}]}\n", "main|pod a, container c main|pod a, container d"},
		{"other kinds", `{apiVersion: example.org/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, image: main}]}}}}`, ""},
		{"odd", `{apiVersion: apps/v1, kind: Deployment, metadata: a, spec: {template: [1], containers: {image: main}}}`, ""},
		{"odd containers", `{apiVersion: v1, kind: Pod, metadata: {name: 1}, spec: {containers: [null, 1, [a], {image: main}], volumes: [{image: x}, 1]}}`, "main|pod 1, container 3"},
		{"no objects", "# nothing\n", ""},
		{"no YAML", "a: [", ""},
		{"a string", `"a"`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var found []string
			collect := func(im runtime.PodImage) string {
				found = append(found, im.Ref+"|"+im.In)
				return im.Ref
			}
			files := map[string]string{"a.yaml": test.text, "NOTES.txt": test.text}
			out, err := visitImages(files, collect)
			if got := strings.Join(found, " "); err != nil || got != test.want {
				t.Errorf("found %q, %v; want %q", got, err, test.want)
			}
			if out["a.yaml"] != test.text || out["NOTES.txt"] != test.text {
				t.Errorf("without a change: %q", out)
			}
			if test.want == "" {
				return
			}
			out, err = visitImages(files, func(im runtime.PodImage) string { return "mirror/" + im.Ref })
			if err != nil || files["a.yaml"] != test.text {
				t.Fatalf("%v; the files have changed to %q", err, files)
			}
			first := slices.Clone(found)
			found = nil
			if _, err := visitImages(out, collect); err != nil {
				t.Fatal(err)
			}
			for i := range first {
				first[i] = "mirror/" + first[i]
			}
			if !slices.Equal(found, first) {
				t.Errorf("after a change: %q, want %q", found, first)
			}
		})
	}
}

// TestOneObject: Helm creates all objects of a hook in JSON, so one with several is refused, and so no
// image is overlooked.
func TestOneObject(t *testing.T) {
	const hook, pod = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","annotations":{"helm.sh/hook":"pre-install"}}}`, `{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":"x"}]}}`
	for text, several := range map[string]bool{
		hook + pod: true, "\n" + hook + "\n\n" + pod: true, "{}\n" + pod: true,
		hook: false, hook + "\n# end\n": false, hook + "\n---\n" + pod: false, "{apiVersion: v1}": false, hook + "]": false,
	} {
		_, err := visitImages(map[string]string{"c/templates/a.yaml": text}, func(im runtime.PodImage) string { return im.Ref })
		if several != (err != nil && err.Error() == "c/templates/a.yaml: it has several objects as JSON: separate them with ---") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestMirrored: documents without an image of the release are left as they are, numbers are
// kept, and so are images that the release does not have.
func TestMirrored(t *testing.T) {
	const config, pod = "# a comment\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}", `
apiVersion: v1
kind: Pod
metadata: {name: b, annotations: {a: "1.0", b: "yes", c: "012"}}
spec: {containers: [{name: c, image: "nginx:1", ports: [{containerPort: 8080}]}, {name: d, image: built}, {name: e, image: late}], activeDeadlineSeconds: 9007199254740993}`
	r := runtime.Release{Service: plan.Service{Name: "x", MirrorImages: true}, Images: map[string]string{"of": "built"}, Mirrored: map[string]string{"nginx:1": "r/nginx@sha256:1"}}
	files := map[string]string{"x/templates/a.yaml": config + "\n---" + pod}
	out, err := mirrored(files, r)
	if err != nil {
		t.Fatal(err)
	}
	got := out["x/templates/a.yaml"]
	for _, want := range []string{config, "image: r/nginx@sha256:1", "image: built", "image: late", `a: "1.0"`, `b: "yes"`, `c: "012"`, "containerPort: 8080", "9007199254740993"} {
		if !strings.Contains(got, want) {
			t.Errorf("it has no %q:\n%s", want, got)
		}
	}
	r.Service.MirrorImages = false
	if out, err := mirrored(files, r); err != nil || out["x/templates/a.yaml"] != files["x/templates/a.yaml"] {
		t.Errorf("of a service whose images are kept: %v, %v", out, err)
	}
}

// BenchmarkVisitImages measures a chart with 40 workloads.
func BenchmarkVisitImages(b *testing.B) {
	files := make(map[string]string)
	for i := range 40 {
		files[fmt.Sprintf("a/%d.yaml", i)] = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, labels: {app: a}}
spec:
  replicas: 1
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
      - {name: c, image: "nginx:1", ports: [{containerPort: 80}], resources: {requests: {cpu: 10m}}}
`
	}
	for b.Loop() {
		if _, err := visitImages(files, func(im runtime.PodImage) string { return im.Ref + "x" }); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMirroredKeeps: what is not an image is the same after a document was written again.
func TestMirroredKeeps(t *testing.T) {
	odd := []string{
		"", " ", "~", "null", "yes", "no", "on", "off", "y", "n", "Y", "N", "true", "True", "1", "1.0", "1e3", "0x10", "0o7", "010", "-1", "+1", ".5", ".inf", ".nan", "1_000", "12:30:45", "2001-01-01",
		"2001-12-14t21:59:43.10-05:00", "=", "<<", "a: b", "# c", "- d", "a #b", "'", "\"", "`", "@x", "%x", "!x", "&x", "*x", "|", ">", "{}", "[]", "?", ":", "a\nb", "a\n\nb\n", "\ta", " a ", "a\r\nb", "\u0000", "\u0085", "\u2028", "\ufeff", "\x7f", "\u009f", "\ufffe", "é", "日本", "😀", "\\n", "{{ x }}", strings.Repeat("x ", 200),
		"---", "--- a", "...", "a\n---\nb",
	}
	values := make(map[string]any)
	for i, s := range odd {
		values[fmt.Sprintf("k%03d", i)] = s
		values["x"+s] = s
	}
	object := map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a", "annotations": values},
		"spec": map[string]any{
			"containers": []any{map[string]any{"name": "c", "image": "nginx:1", "args": toAny(odd)}}, "numbers": []any{0, -1, 1.5, int64(math.MaxInt64), uint64(math.MaxUint64), 1e21, 420},
			"other": []any{true, false, nil, map[string]any{}, []any{}},
		},
	}
	for name, write := range map[string]func(map[string]any) ([]byte, error){"YAML": toYAML, "JSON": toJSON} {
		text, err := write(object)
		if err != nil {
			t.Fatal(err)
		}
		out, err := visitImages(map[string]string{"a": string(text)}, func(runtime.PodImage) string { return "other:1" })
		if err != nil {
			t.Fatal(err)
		}
		read := func(text string) map[string]any {
			var all []map[string]any
			for _, doc := range releaseutil.SplitManifests(text) {
				var o map[string]any
				if err := yaml.Unmarshal([]byte(doc), &o, exactNumbers); err != nil {
					t.Fatalf("%s: %v\n%s", name, err, doc)
				}
				all = append(all, o)
			}
			if len(all) != 1 {
				t.Fatalf("%s: %d documents", name, len(all))
			}
			return all[0]
		}
		want, got := read(string(text)), read(out["a"])
		mapOf(mapOf(want["spec"])["containers"].([]any)[0])["image"] = "other:1"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

// toJSON returns an object as JSON that is also YAML.
func toJSON(object map[string]any) ([]byte, error) {
	data, err := json.Marshal(object)
	var text strings.Builder
	for _, c := range string(data) {
		if c < 0x7f || c > 0xffff {
			text.WriteRune(c)
		} else {
			fmt.Fprintf(&text, "\\u%04x", c)
		}
	}
	return []byte(text.String()), err
}

func toAny(list []string) (out []any) {
	for _, s := range list {
		out = append(out, s)
	}
	return out
}
