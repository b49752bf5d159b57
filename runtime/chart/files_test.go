package chart

import (
	"maps"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
)

// containerFile is a file as the container of a pod sees it.
type containerFile struct {
	Content string // a secret is "secret NAME KEY"
	Mode    int32
}

// filesIn returns the files of the objects of a chart as its container sees them.
func filesIn(t *testing.T, pod corev1.PodSpec, objects []string) map[string]containerFile {
	t.Helper()
	config := corev1.ConfigMap{}
	for _, text := range objects {
		if strings.Contains(text, "kind: ConfigMap") {
			if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
		}
	}
	volume := map[string]containerFile{} // by path in it
	for _, v := range pod.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				for _, item := range source.Secret.Items {
					volume[item.Path] = containerFile{"secret " + source.Secret.Name + " " + item.Key, *item.Mode}
				}
				continue
			}
			if source.ConfigMap.Name != config.Name {
				t.Errorf("the ConfigMap is %q, want %q", source.ConfigMap.Name, config.Name)
			}
			for _, item := range source.ConfigMap.Items {
				text, isText := config.Data[item.Key]
				data, isData := config.BinaryData[item.Key]
				if isText == isData {
					t.Errorf("key %q is in data: %v, and in binaryData: %v", item.Key, isText, isData)
				}
				volume[item.Path] = containerFile{text + string(data), *item.Mode}
			}
		}
	}
	out := map[string]containerFile{}
	for _, m := range pod.Containers[0].VolumeMounts {
		if m.Name != "pipe-files" {
			continue
		}
		for at, f := range volume {
			if at == m.SubPath || strings.HasPrefix(at, m.SubPath+"/") {
				out[path.Join(m.MountPath, strings.TrimPrefix(at, m.SubPath))] = f
			}
		}
	}
	return out
}

// checkFiles compares the files of the objects of a service with those that it has.
func checkFiles(t *testing.T, s plan.Service, pod corev1.PodSpec, objects []string) {
	t.Helper()
	want := map[string]containerFile{}
	for _, f := range s.Workload.Files {
		w := containerFile{f.Text + string(f.Binary), int32(f.Mode)}
		if f.Secret != nil {
			w.Content = "secret " + f.Secret.Name + " " + f.Secret.Key
		}
		if w.Mode == 0 {
			w.Mode = 0o644
		}
		want[f.Path] = w
	}
	if diff := cmp.Diff(want, filesIn(t, pod, objects)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestFilesRoll: the pods of a service are replaced when one of its files changes, and
// pods without files have no annotation.
func TestFilesRoll(t *testing.T) {
	annotations := func(files ...plan.File) map[string]string {
		t.Helper()
		s := kinds[0]
		s.Workload.Files = files
		for _, text := range generatedObjects(t, s) {
			if strings.Contains(text, "kind: Deployment") {
				return podOf(t, text).Annotations
			}
		}
		t.Fatal("there is no Deployment")
		return nil
	}
	file := plan.File{Path: "/etc/app.conf", Text: "a"}
	first := annotations(file)
	if again := annotations(file); first["checksum/files"] == "" || !maps.Equal(first, again) {
		t.Errorf("the same file gives %v and %v", first, again)
	}
	file.Text = "b"
	if second := annotations(file); second["checksum/files"] == first["checksum/files"] {
		t.Errorf("another text gives the same annotations %v", second)
	}
	if none := annotations(); none["checksum/files"] != "" {
		t.Errorf("without files: %v", none)
	}
}

// TestFilesGroup: a file that only its group can read belongs to a group of the pod.
func TestFilesGroup(t *testing.T) {
	for mode, want := range map[plan.FileMode]bool{0: false, 0o440: true, 0o640: true, 0o444: false, 0o400: false} {
		s := kinds[0]
		s.Workload.Files = []plan.File{{Path: "/key", Text: "x", Mode: mode}}
		for _, text := range generatedObjects(t, s) {
			if strings.Contains(text, "kind: Deployment") {
				if got := podOf(t, text).Spec.SecurityContext.FSGroup != nil; got != want {
					t.Errorf("mode %o: fsGroup %v, want %v", mode, got, want)
				}
			}
		}
	}
}

func podOf(t *testing.T, deployment string) corev1.PodTemplateSpec {
	t.Helper()
	var d struct {
		Spec struct{ Template corev1.PodTemplateSpec }
	}
	if err := yaml.Unmarshal([]byte(deployment), &d); err != nil {
		t.Fatal(err)
	}
	return d.Spec.Template
}
