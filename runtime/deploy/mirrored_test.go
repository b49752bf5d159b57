package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// mirrorOf is a reference to deploy instead of ref.
func mirrorOf(ref string) string {
	return "registry.test/mirror/" + ref + "@" + string(plan.DigestOf([]byte(ref)))
}

// mirrored returns a release of a service with other images instead of those that it names,
// and these.
func (b *bench) mirrored(s plan.Service) (runtime.Release, []runtime.PodImage) {
	b.t.Helper()
	r := releaseIn(b.namespace, s)
	images, err := b.Images(b.t.Context(), r)
	must(b.t, err)
	r.Mirrored, r.OnFailure = make(map[string]string), runtime.Rollback
	for _, im := range images {
		r.Mirrored[im.Ref] = mirrorOf(im.Ref)
	}
	r.Fingerprint, err = b.Fingerprint(b.t.Context(), r)
	must(b.t, err)
	return r, images
}

// containers returns the containers of a Deployment.
func (b *bench) containers(name string) []corev1.Container {
	b.t.Helper()
	d, err := client(b.t, testenv.Cluster(b.t)).AppsV1().Deployments(b.namespace).Get(b.t.Context(), name, metav1.GetOptions{})
	must(b.t, err)
	return d.Spec.Template.Spec.Containers
}

// image returns the image of the first container of a Deployment.
func (b *bench) image(name string) string {
	b.t.Helper()
	return b.containers(name)[0].Image
}

const cronJob = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: {{ .Release.Name }}-cron}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: cron, image: "cron:1@sha256:0000000000000000000000000000000000000000000000000000000000000007"}]
`

// hookTemplate is the template of a hook that runs nothing.
const hookTemplate = `
apiVersion: v1
kind: PodTemplate
metadata:
  name: {{ .Release.Name }}-before
  annotations: {helm.sh/hook: "pre-install,pre-upgrade"}
template:
  metadata: {labels: {app: before}}
  spec:
    containers: [{name: before, image: "before:1"}]
`

// TestMirroredChart: the images that a chart names, also in hooks and jobs, are replaced in
// what is checked, compared, stored, deployed and rolled back to (I3).
func TestMirroredChart(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{
		"templates/deployment.yaml": workload("apps/v1", "Deployment", selector, "initContainers: [{name: first, image: init}]\n      serviceAccountName: {{ .Values.account | default \"default\" }}"),
		"templates/cron.yaml":       cronJob,
		"templates/before.yaml":     hookTemplate,
	})
	s.Type = plan.Helm

	// Deployed with the images of the chart, and then with mirrored ones.
	b.deploy(s)
	if image := b.image("web"); image != "nginx:1" {
		t.Fatalf("it runs %s", image)
	}
	s.MirrorImages = true
	r, images := b.mirrored(s)
	var found []string
	for _, im := range images {
		found = append(found, im.Ref+", "+im.In)
	}
	want := []string{
		"before:1, podtemplate web-before, container before",
		"cron:1@sha256:0000000000000000000000000000000000000000000000000000000000000007, cronjob web-cron, container cron",
		"init, deployment web, init container first", "nginx:1, deployment web, container main",
	}
	if !slices.Equal(found, want) {
		t.Fatalf("Images = %q, want %q", found, want)
	}
	was := b.deployed("web").Fingerprint
	if r.Fingerprint == was {
		t.Error("the fingerprint of mirrored images is that of kept ones")
	}
	changes, err := b.Changes(t.Context(), r, false)
	must(t, err)
	for _, c := range changes {
		contains(t, c.After, "registry.test/mirror/")
	}
	if len(changes) != 3 {
		t.Errorf("%d objects change, want 3", len(changes))
	}
	if _, err := b.Check(t.Context(), r, discard); err != nil {
		t.Errorf("Check = %v", err)
	}
	if err := b.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
		t.Fatal(explained(err))
	}
	if image := b.image("web"); image != mirrorOf("nginx:1") {
		t.Errorf("it runs %s", image)
	}
	kube := client(t, config)
	cron, err := kube.BatchV1().CronJobs(b.namespace).Get(t.Context(), "web-cron", metav1.GetOptions{})
	must(t, err)
	before, err := kube.CoreV1().PodTemplates(b.namespace).Get(t.Context(), "web-before", metav1.GetOptions{})
	must(t, err)
	if a, b := cron.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image, before.Template.Spec.Containers[0].Image; !strings.HasPrefix(a, "registry.test/mirror/cron:1@") || b != mirrorOf("before:1") {
		t.Errorf("a cron job runs %s, a hook %s", a, b)
	}
	// What is deployed is what a comparison renders.
	if changes, err := b.Changes(t.Context(), r, false); err != nil || len(changes) > 0 {
		t.Errorf("compared with what is deployed: %+v, %v", changes, err)
	}

	// A failed upgrade goes back to the images that ran.
	s.Values = plan.Values{"tag": "2", "account": "nobody"}
	broken, _ := b.mirrored(s)
	if err := b.Act(t.Context(), runtime.Deploy, broken, discard); err == nil {
		t.Error("it did not fail")
	}
	if image := b.image("web"); image != mirrorOf("nginx:1") {
		t.Errorf("after a failure it runs %s", image)
	}
}

// TestMirroredManifests: the images of manifests are replaced, and everything else in them
// stays.
func TestMirroredManifests(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	pod := func(image string) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "main", "image": image, "args": []any{"{{ .Values.x }}"}}}},
		}
	}
	s := plan.Service{Name: "web", Type: plan.Manifests, MirrorImages: true, Timeout: plan.Duration(time.Minute), Manifests: []plan.ManifestSource{
		{Object: plan.Values{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "text"}, "data": map[string]any{"image": "nginx:1", "a": "{{ x }}"}}},
		{Object: plan.Values{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web"},
			"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}}, "template": pod("nginx:1")},
		}},
	}}
	r, images := b.mirrored(s)
	if len(images) != 1 || images[0] != (runtime.PodImage{Ref: "nginx:1", In: "deployment web, container main"}) {
		t.Fatalf("images %v", images)
	}
	if err := b.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
		t.Fatal(explained(err))
	}
	if image := b.image("web"); image != mirrorOf("nginx:1") {
		t.Errorf("it runs %s", image)
	}
	is, err := client(t, config).AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	must(t, err)
	if args := is.Spec.Template.Spec.Containers[0].Args; len(args) != 1 || args[0] != "{{ .Values.x }}" {
		t.Errorf("its arguments are %q", args)
	}
	if changes, err := b.Changes(t.Context(), r, false); err != nil || len(changes) > 0 {
		t.Errorf("compared with what is deployed: %+v, %v", changes, err)
	}
}

// TestImagesOfChart: a chart is rendered once for its images, and again if it changes; one
// that cannot be rendered is an error.
func TestImagesOfChart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t), Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{"templates/a.yaml": `
{{ if .Values.fail }}{{ fail "no password" }}{{ end }}
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: {{ randAlpha 5 | lower }}, image: "nginx:{{ .Values.tag | default 1 }}"}, {name: empty, image: ""}, {name: c, image: "{{ .Release.IsInstall }}"}]}
`})
	s.Type, s.MirrorImages = plan.Helm, true
	r := releaseIn(b.namespace, s)
	first, err := b.Images(t.Context(), r)
	must(t, err)
	if len(first) != 3 || first[0].Ref != "nginx:1" || first[1] != (runtime.PodImage{In: "pod a, container empty"}) || first[2].Ref != "true" {
		t.Errorf("%+v", first)
	}
	if again, err := b.Images(t.Context(), r); err != nil || !slices.Equal(first, again) {
		t.Errorf("it was rendered again: %v, %v", again, err)
	}
	r.Service.Values = plan.Values{"tag": "2"}
	if other, err := b.Images(t.Context(), r); err != nil || other[0].Ref != "nginx:2" {
		t.Errorf("with other values %v, %v", other, err)
	}
	crds := writeChart(t, dir, "crds", map[string]string{"crds/a.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.org}\n"})
	crds.Type, crds.MirrorImages = plan.Helm, true
	if images, err := b.Images(t.Context(), releaseIn(b.namespace, crds)); err != nil || len(images) > 0 {
		t.Errorf("a chart with only a CRD: %v, %v", images, err)
	}
	r.Service.Values = plan.Values{"fail": true}
	if _, err := b.Images(t.Context(), r); err == nil || !strings.Contains(fmt.Sprint(err), "no password") {
		t.Errorf("Images = %v", err)
	}
}
