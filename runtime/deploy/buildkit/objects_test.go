package buildkit

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

// TestExamples: the pods have the rights, and BuildKit the arguments, that the examples of the version of
// BuildKit that pipe contains give them.
func TestExamples(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/buildkit").Output()
	if err != nil {
		t.Fatal(err)
	}
	for variant, file := range map[string]string{"default": "statefulset.privileged.yaml", "rootless": "statefulset.rootless.yaml"} {
		data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "examples", "kubernetes", file))
		if err != nil {
			t.Fatal(err)
		}
		var example, ours appsv1.StatefulSet
		if err := yaml.Unmarshal(data, &example); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		objects, err := variants()[variant].objects("pipe-builders", "sha256:0123")
		if err != nil {
			t.Fatal(err)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[len(objects)-1].Object, &ours); err != nil {
			t.Fatal(err)
		}
		want, got := example.Spec.Template.Spec.Containers[0], ours.Spec.Template.Spec.Containers[0]
		if want.SecurityContext == nil || !reflect.DeepEqual(got.SecurityContext, want.SecurityContext) {
			t.Errorf("%s: the security context is %+v, and that of the example %+v", variant, got.SecurityContext, want.SecurityContext)
		}
		for _, arg := range want.Args {
			if !slices.Contains(got.Args, arg) {
				t.Errorf("%s: the arguments are %q, without %s of the example", variant, got.Args, arg)
			}
		}
		for _, mount := range want.VolumeMounts {
			if !slices.ContainsFunc(got.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == mount.MountPath }) {
				t.Errorf("%s: there is no volume at %s, as in the example", variant, mount.MountPath)
			}
		}
	}
}
