package deploy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"

	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
)

// Whose a release is stands in the labels of its revisions (E6), which Helm hands
// on from one to the next. Revisions from before have it in what the chart was
// told, under global.pipe.

// toldTo returns the environment that the chart of a release was told.
func toldTo(config map[string]any) runtime.EnvironmentKey {
	global, _ := config["global"].(map[string]any)
	pipe, _ := global["pipe"].(map[string]any)
	pipeline, _ := pipe["pipeline"].(string)
	environment, _ := pipe["environment"].(string)
	return runtime.OwnerOf(map[string]string{runtime.LabelPipeline: pipeline, runtime.LabelEnvironment: environment})
}

// legacy selects the last revisions that pipe made before it noted owners.
const legacy = "owner=helm,status!=superseded," + labelFingerprint + ",!" + runtime.LabelPipeline

// ownersOf returns the owner of each release, by name, from the last revisions of
// a namespace, the oldest first. It is one request, for revisions without a
// label, and none if there are none.
func (d *Deployer) ownersOf(ctx context.Context, namespace string, last []revision) (map[string]runtime.EnvironmentKey, error) {
	owners := make(map[string]runtime.EnvironmentKey)
	ask := false
	for _, r := range last {
		if owner := runtime.OwnerOf(r.labels); owner != (runtime.EnvironmentKey{}) {
			owners[r.release] = owner
		}
		ask = ask || r.labels[labelFingerprint] != "" && r.labels[runtime.LabelPipeline] == ""
	}
	if !ask {
		return owners, nil
	}
	list, err := d.cluster.typed.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: legacy})
	if err != nil {
		return nil, d.explain(ctx, err)
	}
	for i := range list.Items {
		s := &list.Items[i]
		if name := s.Labels["name"]; owners[name] == (runtime.EnvironmentKey{}) {
			owners[name] = toldTo(configOf(s))
		}
	}
	return owners, nil
}

// configOf returns what the release in a Secret of Helm is configured with; nil if
// it cannot be read. Helm's own reader makes a request for each.
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
	var rel release.Release
	if err := json.Unmarshal(data, &rel); err != nil {
		return nil
	}
	return rel.Config
}

// owner returns whose the release is.
func (r *records) owner() (runtime.EnvironmentKey, error) {
	for _, rev := range slices.Backward(r.history) {
		if owner := runtime.OwnerOf(rev.labels); owner != (runtime.EnvironmentKey{}) {
			return owner, nil
		}
	}
	last := len(r.history) - 1
	if last < 0 || r.history[last].labels[labelFingerprint] == "" {
		return runtime.EnvironmentKey{}, nil
	}
	rel, err := r.full(r.history[last])
	if err != nil {
		return runtime.EnvironmentKey{}, err
	}
	return toldTo(rel.Config), nil
}

// ours returns an *OwnedError if the release belongs to another environment than
// the one that is acted for.
func (o *operation) ours() error {
	owner, err := o.records.owner()
	key := keyOf(o.r)
	if err != nil || owner == key || owner == (runtime.EnvironmentKey{}) {
		return err
	}
	return &runtime.OwnedError{Key: key, Kind: "release", Name: o.r.Service.Name, Owner: owner}
}

func keyOf(r runtime.Release) runtime.EnvironmentKey {
	return runtime.EnvironmentKey{Pipeline: r.Pipeline, Name: r.Environment}
}

// othersIn returns the releases in the namespace of an environment that belong to
// another one. Who may not look at releases is told of none.
func (d *Deployer) othersIn(ctx context.Context, key runtime.EnvironmentKey) ([]string, error) {
	all, err := d.deployed(ctx, key.Namespace())
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for name, r := range all {
		if r.Owner != key && r.Owner != (runtime.EnvironmentKey{}) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// disown takes the labels off a namespace that stays when its environment goes:
// another one may have it from then on. Who may not do that leaves it as it is.
func (d *Deployer) disown(ctx context.Context, namespace string, key runtime.EnvironmentKey) error {
	for {
		n, err := d.cluster.typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || err == nil && runtime.OwnerOf(n.Labels) != key {
			return nil
		}
		if err != nil {
			return d.explain(ctx, err)
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"resourceVersion": n.ResourceVersion,
			"labels":          map[string]any{runtime.LabelPipeline: nil, runtime.LabelEnvironment: nil},
		}})
		if err != nil {
			return err
		}
		_, err = d.cluster.typed.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		switch {
		case err == nil, apierrors.IsNotFound(err), apierrors.IsForbidden(err):
			return nil
		case !apierrors.IsConflict(err):
			return d.explain(ctx, err)
		}
	}
}
