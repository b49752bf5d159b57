package observe

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// The labels of a release's revisions contain its owner (E6). Helm copies them from one
// revision to the next. Older revisions have the owner only in the values of the chart, under
// global.pipe.

// ToldTo returns the environment in the values of a release's chart.
func ToldTo(config map[string]any) runtime.EnvironmentKey {
	global, _ := config["global"].(map[string]any)
	pipe, _ := global["pipe"].(map[string]any)
	pipeline, _ := pipe["pipeline"].(string)
	environment, _ := pipe["environment"].(string)
	return runtime.OwnerOf(map[string]string{runtime.LabelPipeline: pipeline, runtime.LabelEnvironment: environment})
}

// AnnotationMadeFor is the annotation of a namespace that was created for releases of an
// environment whose own namespace is another one (E9). A label is too short for it.
const AnnotationMadeFor = "pipelinefile.github.io/made-for"

// MadeFor returns the value of AnnotationMadeFor.
func MadeFor(key runtime.EnvironmentKey) string { return key.Pipeline + "/" + key.Name }

// legacy selects the last revisions that pipe created before it recorded owners in labels.
const legacy = "owner=helm,status!=superseded," + LabelFingerprint + ",!" + runtime.LabelPipeline

// OwnersOf returns the owner of each release, by name, from the last revisions of a
// namespace, oldest first. If some of them lack the label, it makes one request, and
// otherwise none.
func (c *Cluster) OwnersOf(ctx context.Context, namespace string, last []Revision) (map[string]runtime.EnvironmentKey, error) {
	owners := make(map[string]runtime.EnvironmentKey)
	ask := false
	for _, r := range last {
		if owner := runtime.OwnerOf(r.Labels); owner != (runtime.EnvironmentKey{}) {
			owners[r.Release] = owner
		}
		ask = ask || r.Labels[LabelFingerprint] != "" && r.Labels[runtime.LabelPipeline] == ""
	}
	if !ask {
		return owners, nil
	}
	list, err := c.Typed.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: legacy})
	if err != nil {
		return nil, c.Explain(ctx, err)
	}
	for i := range list.Items {
		s := &list.Items[i]
		if name := s.Labels["name"]; owners[name] == (runtime.EnvironmentKey{}) {
			owners[name] = ToldTo(configOf(s))
		}
	}
	return owners, nil
}

// configOf returns the configuration of the release in a Secret of Helm, or nil if it cannot
// be read. Helm's own reader would make a request for each.
func configOf(s *corev1.Secret) map[string]any {
	data, err := base64.StdEncoding.DecodeString(string(s.Data["release"]))
	if err != nil {
		return nil
	}
	if r, err := gzip.NewReader(bytes.NewReader(data)); err == nil { // very old ones are not compressed
		if data, err = io.ReadAll(r); err != nil {
			return nil
		}
	}
	var rel struct {
		Config map[string]any `json:"config"`
	}
	if err := json.Unmarshal(data, &rel); err != nil {
		return nil
	}
	return rel.Config
}
