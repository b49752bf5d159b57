package chart_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// TestFilled: secrets and images are set at their places in the values; Values has no
// secrets, and neither changes the values of the plan or of a values file.
func TestFilled(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "v.yaml": "a: {file: 1}\nlist: [{x: 1}]\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	shelf := chart.NewShelf(dir, t.TempDir())
	c, err := shelf.Chart(t.Context(), plan.Service{Name: "c", Chart: &plan.Chart{Ref: "c", ValuesFiles: []string{"v.yaml"}}}, chart.SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	use := chart.Use{
		Service: "c", Values: map[string]any{"list": []any{nil, map[string]any{"y": int64(2)}}, "a": map[string]any{}},
		Filled: []chart.Fill{{Path: []string{"list", "1", "image"}, Value: "i"}},
		Hidden: []chart.Fill{{Path: []string{"a", "b", "c"}, Value: "s"}, {Path: []string{"list", "0"}, Value: "t"}, {Path: []string{"list", "7"}, Value: "nowhere"}},
	}
	for range 2 {
		open := c.Values(use)
		whole := c.Whole(use)
		delete(open, "global")
		delete(whole, "global")
		if diff := cmp.Diff(map[string]any{"a": map[string]any{"file": 1.0}, "list": []any{nil, map[string]any{"y": int64(2), "image": "i"}}}, open); diff != "" {
			t.Errorf("Values (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]any{
			"a": map[string]any{"file": 1.0, "b": map[string]any{"c": "s"}}, "list": []any{"t", map[string]any{"y": int64(2), "image": "i"}},
		}, whole); diff != "" {
			t.Errorf("Whole (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"s", "t"}, chart.At(whole, use.Hidden)); diff != "" {
			t.Errorf("At (-want +got):\n%s", diff)
		}
	}
}
