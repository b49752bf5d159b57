package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml3 "go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// awkward are strings that YAML 1.1 or 1.2 reads as something else.
var awkward = strings.Split(`404 0 08 1_000 +1 -1 0x1f 0o17 0b11 1e3 1E3 1.5 .5 1. -.5e-3 12:30:45 190:20:30 2001-01-01 2001-01-01T00:00:00Z
.inf -.Inf .NaN y Y n N yes Yes YES no NO on On ON off OFF true True TRUE false FALSE null Null NULL ~ = << - ? : * & ! | > % @ {} [] {a} [a]
#a a: :a -a "a" 'a' \ \n é 🚢`, " ")

// A draw draws strings that are valid in their place, of those that are awkward and of
// others that are made of the same characters.
type draw struct{ *rand.Rand }

func (d draw) word(valid func(string) []string) string {
	for {
		s := awkward[d.IntN(len(awkward))]
		if d.IntN(2) == 0 {
			const letters = "0123456789abefnoxyBEFNOTUXYruls.+-_:~"
			b := make([]byte, 1+d.IntN(6))
			for i := range b {
				b[i] = letters[d.IntN(len(letters))]
			}
			s = string(b)
		}
		if len(valid(s)) == 0 {
			return s
		}
	}
}

// words returns a few different words.
func (d draw) words(valid func(string) []string) []string {
	set := map[string]bool{}
	for range d.IntN(4) {
		set[d.word(valid)] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func anything(string) []string { return nil }

// service returns a service with awkward strings in all places that take any. Its name
// and those of its ports are valid for a Kubernetes Service if it has ports.
func (d draw) service() plan.Service {
	s := plan.Service{Type: plan.Container, Timeout: plan.Duration(300e9)}
	w := &s.Workload
	name := validation.IsDNS1123Label
	switch d.IntN(4) {
	case 0:
		w.Job = &plan.JobSpec{On: "deploy"}
	case 1:
		w.Job = &plan.JobSpec{On: "deploy", Schedule: "0 3 * * *"}
	case 2:
		w.Database = &plan.DatabaseSpec{Engine: d.word(validation.IsDNS1035Label), Version: d.word(anything), Storage: "1e3"}
	}
	if w.Job == nil && d.IntN(2) == 0 {
		name = validation.IsDNS1035Label
		for i, port := range d.words(validation.IsValidPortName) {
			w.Ports = append(w.Ports, plan.Port{
				Number: 8000 + i, Name: port, Protocol: "TCP", Public: true, Host: d.word(validation.IsDNS1123Subdomain),
			})
		}
	}
	s.Name = d.word(name)
	for _, name := range d.words(validation.IsEnvVarName) {
		e := plan.EnvVar{Name: name}
		if d.IntN(2) == 0 {
			e.Value = d.word(anything)
		} else {
			e.Secret = &plan.SecretRef{Name: strings.ToLower(d.word(validation.IsDNS1123Subdomain)), Key: d.word(validation.IsConfigMapKey)}
		}
		w.Env = append(w.Env, e)
	}
	for i, name := range d.words(validation.IsDNS1123Label) {
		w.Volumes = append(w.Volumes, plan.Volume{Name: name, Path: fmt.Sprintf("/%d/%s", i, "1e3"), Size: "1e3"})
	}
	for i, name := range d.words(func(s string) []string { return validation.IsConfigMapKey(s) }) {
		f := plan.File{Path: fmt.Sprintf("/f%d/%s", i, name), Text: d.word(anything), Mode: plan.FileMode(i * 0o110)}
		switch d.IntN(3) {
		case 0:
			f.Dir, f.Text = fmt.Sprintf("/f%d", i), f.Text+"\u0085\x7f\r\n \n\n"
		case 1:
			f.Text, f.Secret = "", &plan.SecretRef{Name: strings.ToLower(d.word(validation.IsDNS1123Subdomain)), Key: d.word(validation.IsConfigMapKey)}
		}
		w.Files = append(w.Files, f)
	}
	for i, list := range []*[]plan.PodContainer{&w.Init, &w.Sidecars} {
		of := plan.PodContainer{Name: fmt.Sprintf("c%d", i), Command: d.words(anything), Args: d.words(anything)}
		for _, name := range d.words(validation.IsEnvVarName) {
			of.Env = append(of.Env, plan.EnvVar{Name: name, Value: d.word(anything)})
		}
		for _, v := range w.Volumes {
			of.Mounts = append(of.Mounts, v.Path)
		}
		*list = append(*list, of)
		s.Images = append(s.Images, plan.NamedImage{Name: of.Name})
	}
	w.Replicas = 1
	w.Command, w.Args = d.words(anything), d.words(anything)
	w.Resources = &plan.Resources{CPU: "1", Memory: "1e3", MemoryLimit: "1e6"}
	w.Health = &plan.Health{Kind: plan.HealthCommand, Command: append(d.words(anything), "x")}
	w.Labels = map[string]string{}
	for _, key := range d.words(validation.IsQualifiedName) {
		w.Labels[key] = d.word(validation.IsValidLabelValue)
	}
	annotation := map[string]any{d.word(validation.IsQualifiedName): d.word(anything)}
	s.Values = map[string]any{
		"podAnnotations": annotation,
		"nodeSelector":   map[string]any{d.word(validation.IsQualifiedName): d.word(validation.IsValidLabelValue)},
		"tolerations":    []any{map[string]any{"key": d.word(validation.IsQualifiedName), "operator": "Equal", "value": d.word(validation.IsValidLabelValue)}},
	}
	return s
}

// TestStringsStayStrings: whatever YAML could read into a name, a key or a value, the
// objects of a generated chart have the string, for readers of YAML 1.1 and of 1.2; so
// have those of the chart as it is written for its team, with its values in YAML.
func TestStringsStayStrings(t *testing.T) {
	const seed = 11
	d := draw{rand.New(rand.NewPCG(seed, 0))}
	for i := range 150 {
		s := d.service()
		checkStrings(t, s, generatedObjects(t, s))
		checkStrings(t, s, writtenObjects(t, s))
		if t.Failed() {
			text, _ := json.MarshalIndent(s, "", "  ")
			t.Fatalf("service %d of seed %d: %s", i, seed, text)
		}
	}
}

// TestServerTakesStrings: a real API server takes the objects that have awkward names.
func TestServerTakesStrings(t *testing.T) {
	client, err := dynamic.NewForConfig(testenv.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	namespace := testenv.Namespace(t)
	d := draw{rand.New(rand.NewPCG(12, 0))}
	for range 60 {
		s := d.service()
		for _, o := range writtenObjects(t, s) {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(o), &u.Object); err != nil {
				t.Fatal(err)
			}
			resource := u.GroupVersionKind().GroupVersion().WithResource(strings.ToLower(u.GetKind()) + "s")
			if u.GetKind() == "Ingress" {
				resource.Resource = "ingresses"
			}
			_, err := client.Resource(resource).Namespace(namespace).Create(t.Context(), u, metav1.CreateOptions{
				DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
			})
			if err != nil {
				t.Errorf("%s %q: %v in\n%s", resource.Resource, u.GetName(), err, o)
			}
		}
	}
}

func useOf(s plan.Service) Use {
	return Use{Pipeline: "1e3", Environment: "on", Service: s.Name, Image: testImage, Images: testImages(s), Secrets: "5e1234", Values: s.Values}
}

// objectsOf returns the YAML documents of a chart.
func objectsOf(t *testing.T, c *Chart, u Use) []string {
	t.Helper()
	var out []string
	for _, part := range strings.Split("\n"+rendered(t, c, u), "\n# ") {
		name, text, _ := strings.Cut(part, "\n")
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, doc := range strings.Split(text, "\n---\n") {
			if strings.TrimSpace(strings.TrimPrefix(doc, "---")) != "" {
				out = append(out, doc)
			}
		}
	}
	return out
}

func generatedObjects(t *testing.T, s plan.Service) []string {
	t.Helper()
	c, err := NewShelf("", "").Chart(t.Context(), s, SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	return objectsOf(t, c, useOf(s))
}

// writtenObjects are those of the chart that [Write] writes, with values that have
// been a file.
func writtenObjects(t *testing.T, s plan.Service) []string {
	t.Helper()
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "chart"), s); err != nil {
		t.Fatal(err)
	}
	c, err := NewShelf(dir, "").Chart(t.Context(), plan.Service{Chart: &plan.Chart{Ref: "chart"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.Marshal(s.Values)
	if err != nil {
		t.Fatal(err)
	}
	use := useOf(s)
	use.Values = nil
	if err := yaml.Unmarshal(data, &use.Values); err != nil {
		t.Fatal(err)
	}
	return objectsOf(t, c, use)
}

// checkStrings compares objects with the service that they were made for.
func checkStrings(t *testing.T, s plan.Service, objects []string) {
	t.Helper()
	kinds := map[schema.GroupVersionKind]any{
		appsv1.SchemeGroupVersion.WithKind("Deployment"):            &appsv1.Deployment{},
		appsv1.SchemeGroupVersion.WithKind("StatefulSet"):           &appsv1.StatefulSet{},
		batchv1.SchemeGroupVersion.WithKind("Job"):                  &batchv1.Job{},
		batchv1.SchemeGroupVersion.WithKind("CronJob"):              &batchv1.CronJob{},
		corev1.SchemeGroupVersion.WithKind("Service"):               &corev1.Service{},
		corev1.SchemeGroupVersion.WithKind("ServiceAccount"):        &corev1.ServiceAccount{},
		corev1.SchemeGroupVersion.WithKind("ConfigMap"):             &corev1.ConfigMap{},
		corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"): &corev1.PersistentVolumeClaim{},
		networkingv1.SchemeGroupVersion.WithKind("Ingress"):         &networkingv1.Ingress{},
	}
	var claims, pods int
	for _, text := range objects {
		sameInBoth(t, text)
		var id metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(text), &id); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		of := kinds[id.GroupVersionKind()]
		if of == nil {
			t.Fatalf("unknown kind %s", id.GroupVersionKind())
		}
		object := reflect.New(reflect.TypeOf(of).Elem()).Interface().(metav1.Object)
		if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if got := object.GetName(); !strings.HasPrefix(got, s.Name) {
			t.Errorf("name = %q, want that of %q in\n%s", got, s.Name, text)
		}
		for key, want := range s.Workload.Labels {
			if got := object.GetLabels()[key]; got != want {
				t.Errorf("label %q = %q, want %q in\n%s", key, got, want, text)
			}
		}
		switch o := object.(type) {
		case *appsv1.Deployment:
			checkPod(t, s, o.Spec.Template, text)
			checkFiles(t, s, o.Spec.Template.Spec, objects)
			pods++
		case *appsv1.StatefulSet:
			checkPod(t, s, o.Spec.Template, text)
			checkFiles(t, s, o.Spec.Template.Spec, objects)
			pods++
		case *batchv1.Job:
			checkPod(t, s, o.Spec.Template, text)
			checkFiles(t, s, o.Spec.Template.Spec, objects)
			pods++
		case *batchv1.CronJob:
			checkPod(t, s, o.Spec.JobTemplate.Spec.Template, text)
			checkFiles(t, s, o.Spec.JobTemplate.Spec.Template.Spec, objects)
			pods++
		case *corev1.Service:
			for i, p := range s.Workload.Ports {
				if got := o.Spec.Ports[i]; got.Name != p.Name || got.TargetPort.StrVal != p.Name {
					t.Errorf("port %q is %+v in\n%s", p.Name, got, text)
				}
			}
		case *networkingv1.Ingress:
			for i, p := range s.Workload.Ports {
				if got := o.Spec.Rules[i]; got.Host != p.Host || got.HTTP.Paths[0].Backend.Service.Port.Name != p.Name {
					t.Errorf("port %q is %+v in\n%s", p.Name, got, text)
				}
			}
		case *corev1.PersistentVolumeClaim:
			claims++
		}
	}
	volumes := len(s.Workload.Volumes)
	if s.Workload.Database != nil {
		volumes++
	}
	if pods != 1 || claims != volumes {
		t.Errorf("%d workloads and %d claims, want 1 and %d", pods, claims, volumes)
	}
}

// checkContainers checks the containers of a pod besides the first.
func checkContainers(t *testing.T, s plan.Service, pod corev1.PodSpec, text string) {
	t.Helper()
	got := slices.Concat(pod.InitContainers, pod.Containers[1:])
	i := 0
	for _, want := range s.Workload.PodContainers.All() {
		c := got[i]
		i++
		if c.Name != want.Name || c.Image != testImages(s)[want.Name] || len(c.VolumeMounts) != len(want.Mounts) {
			t.Errorf("container %s with the image %s and %d mounts, want %+v in\n%s", c.Name, c.Image, len(c.VolumeMounts), want, text)
		}
		if !slices.Equal(c.Command, want.Command) || !slices.Equal(c.Args, want.Args) {
			t.Errorf("container %s runs %q %q, want %q %q in\n%s", c.Name, c.Command, c.Args, want.Command, want.Args, text)
		}
		for n, e := range want.Env {
			if c.Env[n].Name != e.Name || c.Env[n].Value != e.Value {
				t.Errorf("container %s has the variable %+v, want %+v in\n%s", c.Name, c.Env[n], e, text)
			}
		}
		for n, p := range want.Mounts {
			if m := c.VolumeMounts[n]; m.MountPath != p || m.Name != s.Workload.Volumes[n].Name {
				t.Errorf("container %s has the mount %+v, want %s in\n%s", c.Name, m, p, text)
			}
		}
	}
	if i != len(got) {
		t.Errorf("%d containers besides the first, want %d in\n%s", len(got), i, text)
	}
}

func checkPod(t *testing.T, s plan.Service, pod corev1.PodTemplateSpec, text string) {
	t.Helper()
	c := pod.Spec.Containers[0]
	got := map[string]string{}
	for _, e := range c.Env {
		got[e.Name] = e.Value
		if e.ValueFrom != nil {
			got[e.Name] = e.ValueFrom.SecretKeyRef.Name + "\x00" + e.ValueFrom.SecretKeyRef.Key
		}
	}
	for _, e := range s.Workload.Env {
		want := e.Value
		if e.Secret != nil {
			want = e.Secret.Name + "\x00" + e.Secret.Key
		}
		if got, ok := got[e.Name]; !ok || got != want {
			t.Errorf("variable %q = %q, want %q in\n%s", e.Name, got, want, text)
		}
	}
	checkContainers(t, s, pod.Spec, text)
	names := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		names[v.Name] = v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == s.Name+"-"+v.Name
	}
	for _, v := range s.Workload.Volumes {
		if !names[v.Name] {
			t.Errorf("there is no volume %q in\n%s", v.Name, text)
		}
	}
	equal := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmp.Transformer("empty", func(l []string) []string { return slices.Clip(append([]string{}, l...)) })); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nin\n%s", what, diff, text)
		}
	}
	if c.Name != s.Name || pod.Spec.ServiceAccountName != s.Name {
		t.Errorf("container %q with the account %q, want %q in\n%s", c.Name, pod.Spec.ServiceAccountName, s.Name, text)
	}
	equal("command", c.Command, s.Workload.Command)
	equal("args", c.Args, s.Workload.Args)
	if c.ReadinessProbe != nil {
		equal("health", c.ReadinessProbe.Exec.Command, s.Workload.Health.Command)
	}
	for key, want := range s.Values["podAnnotations"].(map[string]any) {
		equal("annotation "+key, pod.Annotations[key], want)
	}
	for key, want := range s.Values["nodeSelector"].(map[string]any) {
		equal("node selector "+key, pod.Spec.NodeSelector[key], want)
	}
	if pod.Annotations["checksum/secrets"] != "5e1234" || pod.Labels["app.kubernetes.io/part-of"] != "1e3" {
		t.Errorf("what pipe says is another in\n%s", text)
	}
}

// sameInBoth reads text as YAML 1.1 and as YAML 1.2.
func sameInBoth(t *testing.T, text string) {
	t.Helper()
	var first, second any
	if err := yaml.UnmarshalStrict([]byte(text), &first); err != nil {
		t.Fatalf("YAML 1.1: %v in\n%s", err, text)
	}
	if err := yaml3.NewDecoder(bytes.NewReader([]byte(text))).Decode(&second); err != nil {
		t.Fatalf("YAML 1.2: %v in\n%s", err, text)
	}
	data, err := json.Marshal(second)
	if err != nil {
		t.Fatalf("YAML 1.2: %v in\n%s", err, text)
	}
	if err := json.Unmarshal(data, &second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("YAML (-1.1 +1.2):\n%s\nof\n%s", diff, text)
	}
}
