package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
)

// TestFingerprintOfFormerVersions: a release with whole numbers among its values is deployed
// again, as a former version may have deployed a stored plan in which they were floats,
// with the same fingerprint. Other releases stay unchanged.
func TestFingerprintOfFormerVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Chart.yaml":  "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"values.yaml": "replicas: 2\n", "more.yaml": "limit: 1000000\n",
	} {
		path := filepath.Join(dir, "web", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	service := plan.Service{Name: "web", Chart: &plan.Chart{Ref: "web", ValuesFiles: []string{"web/more.yaml"}}}
	c, err := chart.NewShelf(dir, t.TempDir()).Chart(t.Context(), service, chart.SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	of := func(values map[string]any) (now, former plan.Digest) {
		use := chart.Use{Pipeline: "shop", Environment: "dev", Service: "web", Image: "redis@sha256:abc", Values: values}
		now, err := fingerprintOf(runtime.Release{Namespace: "shop-dev"}, c, use)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(struct {
			Format         int
			Chart          plan.Digest
			Values         map[string]any
			Image, Secrets string
		}{format, c.Digest, c.Values(use), use.Image, use.Secrets})
		if err != nil {
			t.Fatal(err)
		}
		return now, plan.DigestOf(data)
	}
	for name, test := range map[string]struct {
		evaluated, stored map[string]any // stored: as a former version decoded it
		again             bool
	}{
		"no values":  {nil, nil, false},
		"no numbers": {map[string]any{"a": "1", "b": []any{true, nil, map[string]any{"c": "x"}}}, nil, false},
		"fractions":  {map[string]any{"a": 1.5}, nil, false},
		"integers":   {map[string]any{"tag": int64(20190612073634)}, map[string]any{"tag": float64(20190612073634)}, true},
		"in a list":  {map[string]any{"a": []any{map[string]any{"b": int64(1)}}}, map[string]any{"a": []any{map[string]any{"b": 1.0}}}, true},
		"floats":     {map[string]any{"a": 1.0}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			now, former := of(test.evaluated)
			if again := now != former; again != test.again {
				t.Errorf("deployed again: %t, want %t", again, test.again)
			}
			if test.stored == nil {
				return
			}
			wrong, recorded := of(test.stored)
			if recorded != former {
				t.Errorf("a former version recorded %s for the stored plan and %s for the evaluated one; want the same", recorded, former)
			}
			if now == recorded || now == wrong {
				t.Error("what was deployed with floats instead of integers counts as unchanged")
			}
		})
	}
}
