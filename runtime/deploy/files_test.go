package deploy_test

import (
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// template returns the pod template of a Deployment, as JSON.
func (b *bench) template(name string) string {
	b.t.Helper()
	d, err := client(b.t, testenv.Cluster(b.t)).AppsV1().Deployments(b.namespace).Get(b.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	data, err := json.Marshal(d.Spec.Template)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

// TestFiles: a service with files becomes ready, a secret that is a file is written and
// found like one that is a variable, and a changed file replaces the pods that have it and
// no others (D10).
func TestFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, deploy.Options{Config: testenv.Cluster(t), Secrets: source{"token": "given-value-4711"}})
	s, other := container("web"), container("other")
	s.Workload.Files = []plan.File{
		{Path: "/etc/app.conf", Text: "a\n"}, {Path: "/etc/conf.d/a", Dir: "/etc/conf.d", Binary: []byte{0, 0xff}},
		{Path: "/run/token", Secret: &plan.SecretRef{Name: "token"}, Mode: 0o440},
	}
	other.Workload.Files = []plan.File{{Path: "/etc/other.conf", Text: "b"}}
	b.prepare(s, other)
	b.deploy(s)
	b.deploy(other)
	if got := string(b.secret("token").Data["value"]); got != "given-value-4711" {
		t.Errorf("the Secret of the file has %q", got)
	}
	config, err := client(t, testenv.Cluster(t)).CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "web-files", metav1.GetOptions{})
	if err != nil || len(config.Data) != 1 || len(config.BinaryData) != 1 {
		t.Errorf("the ConfigMap is %+v, %v", config, err)
	}
	before, others := b.template("web"), b.release(other)
	contains(t, before, `"checksum/files"`, `"subPath":"etc/conf.d"`, `"key":"value","path":"run/token","mode":288`)
	s.Workload.Files[0].Text = "changed\n"
	b.deploy(s)
	if b.template("web") == before {
		t.Error("a changed file has not changed the pods")
	}
	if b.release(other).Fingerprint != others.Fingerprint {
		t.Error("a changed file of one service has changed another")
	}
	s.Workload.Files = nil
	b.deploy(s)
	if got := b.template("web"); got == before {
		t.Errorf("without files the pods are %s", got)
	}
}
