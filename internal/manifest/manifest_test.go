package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/internal/manifest"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"", ""},
		{"# only a comment\n---\n\n---\n", ""},
		{"a: 1", "1 a: 1"},
		{"a: 1\n---\nb: 2\n", "1 a: 1|3 b: 2"},
		{"---\n# c\na: 1\n--- # here\n\nb: 2", "3 a: 1|6 b: 2"},
		{"--- {a: 1}\n---\t\nb: 2\n", "1 {a: 1}|3 b: 2"},
		{"a: 1\r\n---\r\nb: 2\r\n", "1 a: 1|3 b: 2"},
		{"\ufeffa: 1\n---", "1 a: 1"},
		{"a: 1\n...\nb: 2\n...\n", "1 a: 1|3 b: 2"},
		{"a: 1\n... # c\n---\nb: 2\n...", "1 a: 1|4 b: 2"},
		{"a: |\n  ...\n  b\n...b: 2\n", "1 a: |\n  ...\n  b\n...b: 2"},
		{"a: |\n  ---\n  b\n---b: 2\n", "1 a: |\n  ---\n  b\n---b: 2"}, // neither is a separator
	} {
		var got []string
		for _, d := range manifest.Split([]byte(tt.file)) {
			text := string(d.Data)
			if i := strings.Index(text, "# "); i >= 0 {
				_, text, _ = strings.Cut(text[i:], "\n")
			}
			got = append(got, fmt.Sprintf("%d %s", d.Line, strings.TrimSpace(text)))
			if line := strings.Split(string(d.InFile()), "\n")[d.Line-1]; strings.TrimSpace(line) == "" {
				t.Errorf("%q: line %d of the document in its file is empty", tt.file, d.Line)
			}
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, "|")); diff != "" {
			t.Errorf("Split(%q) (-want +got):\n%s", tt.file, diff)
		}
	}
}

func TestObjects(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}`, "[{v1 Pod  a}]"},
		{`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "b"}}`, "[{apps/v1 Deployment b a}]"},
		{`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, {"apiVersion": "v1", "kind": "List"}]}`, "[{v1 Pod  a}]"},
		{`{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "a"}}]}`, "items[0]: Pod a has no apiVersion"},
		{`{"apiVersion": "example.org/v1", "kind": "List", "metadata": {"name": "a"}}`, "[{example.org/v1 List  a}]"},
		{`{"apiVersion": "v1"}`, "it has no kind"},
		{`{"apiVersion": "v1", "kind": "Pod"}`, "Pod has no metadata.name"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": "a"}`, "it is not a Kubernetes object: metadata is a string"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"b": 1}}}`, "it is not a Kubernetes object: metadata.annotations is a number"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"b": true}}}`, "it is not a Kubernetes object: metadata.labels is a bool"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": null, "labels": {"b": null}}}`, "[{v1 Pod  a}]"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"helm.sh/hook": "pre-install, Post-Upgrade,test"}}}`, "[{v1 Pod  a}]"},
		{`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"helm.sh/hook": "pre-install,crd-install"}}}`,
			`Pod a has the Helm hook "crd-install", which does not exist: Helm would leave the object out`},
		{`[1]`, "it is not a Kubernetes object: want a mapping with apiVersion, kind and metadata"},
		{`null`, "it is not a Kubernetes object: want a mapping with apiVersion, kind and metadata"},
	} {
		objects, texts, err := manifest.Objects([]byte(tt.doc))
		var got string
		for _, o := range objects {
			got += fmt.Sprintf("[{%s %s %s %s}]", o.APIVersion, o.Kind, o.Namespace, o.Name)
		}
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || len(texts) != len(objects) {
			t.Errorf("Objects(%s) = %s with %d texts, want %s", tt.doc, got, len(texts), tt.want)
		}
	}
}
