package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// Changes compares the objects of the deployed revision of a release with those
// that deploying r would write, including hooks, and returns those that differ,
// by kind and name. For a service that is not deployed, all objects are new.
// With gone, r only names a release that is to be deleted.
func (d *Deployer) Changes(ctx context.Context, r runtime.Release, gone bool) ([]inspect.Change, error) {
	o, err := d.open(ctx, r, func(runtime.Body) {})
	if err != nil {
		return nil, err
	}
	defer o.close()
	before, after := make(manifests), make(manifests)
	if last, ok := o.inForce(); ok {
		rel, err := o.records.full(last)
		if err != nil {
			return nil, d.explain(ctx, err)
		}
		o.readsBefore(rel.Config)
		if err := before.add(rel.Manifest, r.Namespace); err != nil {
			return nil, fmt.Errorf("revision %d of release %s: %w", last.Version, r.Service.Name, err)
		}
		for _, h := range rel.Hooks {
			if err := before.add(h.Manifest, r.Namespace); err != nil {
				return nil, fmt.Errorf("revision %d of release %s: %w", last.Version, r.Service.Name, err)
			}
		}
	}
	if !gone {
		if err := o.loadChart(ctx); err != nil {
			return nil, err
		}
		if err := o.render(ctx, after); err != nil {
			return nil, lacking(o.use, ofChart(ctx, fmt.Errorf("render %s: %w", r.Service.Name, d.explain(ctx, err))))
		}
	}
	return changes(before, after)
}

// inForce returns the deployed revision or, if there is none, the last one.
func (o *operation) inForce() (observe.Revision, bool) {
	last, ok := o.last()
	if !ok || statusOf(last) == release.StatusUninstalled {
		return observe.Revision{}, false
	}
	for _, r := range slices.Backward(o.records.history) {
		if statusOf(r) == release.StatusDeployed {
			return r, true
		}
	}
	return last, true
}

// render renders the chart as Helm would now, including hooks.
func (o *operation) render(ctx context.Context, into manifests) error {
	objects, hooks, err := o.rendered(ctx)
	if err != nil {
		return err
	}
	for _, m := range objects {
		if err := into.add(m.Content, o.r.Namespace); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	for _, h := range hooks {
		if err := into.add(h.Manifest, o.r.Namespace); err != nil {
			return fmt.Errorf("%s: %w", h.Path, err)
		}
	}
	return nil
}

// rendered returns the chart rendered as Helm would render it now.
func (o *operation) rendered(ctx context.Context) (objects []releaseutil.Manifest, hooks []*release.Hook, err error) {
	caps, err := o.d.cluster.capabilities()
	if err != nil {
		return nil, nil, err
	}
	files, err := o.renderFiles(ctx, caps, false)
	if err != nil {
		return nil, nil, err
	}
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasSuffix(name, "NOTES.txt") })
	hooks, objects, err = releaseutil.SortManifests(files, caps.APIVersions, releaseutil.InstallOrder)
	return objects, hooks, err
}

// manifests maps object identities to objects.
type manifests map[objectKey]map[string]any

type objectKey struct{ kind, namespace, name string }

// add parses the objects of a manifest. An error does not quote it.
func (ms manifests) add(text, namespace string) error {
	for _, doc := range releaseutil.SplitManifests(text) {
		object := make(map[string]any)
		if err := yaml.Unmarshal([]byte(doc), &object, exactNumbers); err != nil {
			return errors.New("an object is not valid YAML")
		}
		if len(object) == 0 {
			continue
		}
		kind, _ := object["kind"].(string)
		key := objectKey{kind: kind, namespace: namespace}
		if meta, ok := object["metadata"].(map[string]any); ok {
			key.name, _ = meta["name"].(string)
			if ns, _ := meta["namespace"].(string); ns != "" {
				key.namespace = ns
			}
		}
		ms[key] = object
	}
	return nil
}

// exactNumbers decodes numbers without loss: as float64, 2^53 and 2^53+1 are
// equal.
func exactNumbers(d *json.Decoder) *json.Decoder {
	d.UseNumber()
	return d
}

// changes returns the objects that differ.
func changes(before, after manifests) ([]inspect.Change, error) {
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	sorted := slices.SortedFunc(maps.Keys(keys), func(a, b objectKey) int {
		return strings.Compare(a.kind+"\x00"+a.name+"\x00"+a.namespace, b.kind+"\x00"+b.name+"\x00"+b.namespace)
	})
	var out []inspect.Change
	for _, key := range sorted {
		is, will := before[key], after[key]
		if reflect.DeepEqual(is, will) {
			continue
		}
		if key.kind == "Secret" {
			hideValues(is, will)
		}
		c := inspect.Change{Kind: key.kind, Namespace: key.namespace, Name: key.name}
		var err error
		if c.Before, err = text(is); err != nil {
			return nil, err
		}
		if c.After, err = text(will); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func text(object map[string]any) (string, error) {
	if object == nil {
		return "", nil
	}
	data, err := toYAML(object)
	return string(data), err
}

// hideValues redacts the values of a Secret in its two states. Annotations are
// removed, too: kubectl stores a whole object in one.
func hideValues(before, after map[string]any) {
	for _, field := range []string{"data", "stringData"} {
		is, _ := before[field].(map[string]any)
		will, _ := after[field].(map[string]any)
		for key, value := range will {
			hidden := "REDACTED"
			if was, ok := is[key]; ok && !reflect.DeepEqual(was, value) {
				hidden = "REDACTED, another value"
			}
			will[key] = hidden
		}
		for key := range is {
			is[key] = "REDACTED"
		}
	}
	for _, object := range []map[string]any{before, after} {
		if meta, ok := object["metadata"].(map[string]any); ok {
			delete(meta, "annotations")
		}
	}
}
