package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// TestOutside: no symbolic link leads a chart, a file of one, a dependency or a values
// file out of the workspace, also one that was made after the evaluation (L2). Links
// within the workspace are followed.
func TestOutside(t *testing.T) {
	const secret = "root:x:0:0"
	for _, test := range []struct {
		name, link string
		to         string // below the workspace; empty: outside
		ref        plan.Chart
		want       string
	}{
		{"a file of a chart", "web/secret", "", plan.Chart{Ref: "web"}, "secret leads out of the workspace through a symbolic link"},
		{"a template", "web/templates/more.yaml", "", plan.Chart{Ref: "web"}, "templates/more.yaml leads out of the workspace through a symbolic link"},
		{"a chart", "other", "", plan.Chart{Ref: "other"}, "other leads out of the workspace through a symbolic link"},
		{"a values file", "values.yaml", "", plan.Chart{Ref: "web", ValuesFiles: []string{"values.yaml"}}, "values.yaml leads out of the workspace through a symbolic link"},
		{"a vendored chart", "web/charts/sub", "", plan.Chart{Ref: "web"}, "charts/sub leads out of the workspace through a symbolic link"},
		{"a file within the workspace", "web/more", "note", plan.Chart{Ref: "web"}, ""},
		{"a chart within the workspace", "other", "web", plan.Chart{Ref: "other"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
			writeChart(t, filepath.Join(dir, "web"), "web", map[string]string{"../note": "note", "charts/.keep": ""})
			writeChart(t, outside, "outside", map[string]string{"passwd": secret})
			target := outside
			switch {
			case test.to != "":
				target = filepath.Join(dir, test.to)
			case filepath.Ext(test.link) != "" || strings.HasSuffix(test.link, "secret"):
				target = filepath.Join(outside, "passwd")
			}
			if err := os.Symlink(target, filepath.Join(dir, filepath.FromSlash(test.link))); err != nil {
				t.Fatal(err)
			}
			_, err := NewShelf(dir, t.TempDir()).Chart(t.Context(), service(test.ref), nil)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Chart = %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("Chart = %v, want %q in it", err, test.want)
			}
		})
	}
}
