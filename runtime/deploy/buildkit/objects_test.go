package buildkit

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// variants are the options of the golden files.
func variants() map[string]Options {
	rootless := Defaults()
	rootless.Rootless = true
	all := Options{Replicas: 3, Storage: "200Gi", StorageClass: "fast", CPU: "500m", Memory: "16Gi", Image: "registry.test/buildkit:1"}
	return map[string]Options{"default": Defaults(), "rootless": rootless, "all": all}
}

// TestObjects compares the objects with golden files.
func TestObjects(t *testing.T) {
	for name, o := range variants() {
		if err := o.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		objects, err := o.objects("pipe-builders", "sha256:0123")
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, u := range objects {
			data, err := yaml.Marshal(u)
			if err != nil {
				t.Fatal(err)
			}
			got = append(append(got, "---\n"...), data...)
		}
		file := filepath.Join("testdata", name+".yaml")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(got) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}
