package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// The images that charts and manifests of others name are replaced by those of the release
// (I3) in what their templates render to, before anything else is done with that: what is
// checked, compared, stored and deployed are the same objects.

// Images implements [runtime.Deployer]. The chart is rendered as for a deploy, but only
// once for the same values.
func (d *Deployer) Images(ctx context.Context, r runtime.Release) (images []runtime.PodImage, err error) {
	err = d.retry(ctx, silent, "", func() (err error) {
		images, err = d.images(ctx, r)
		return d.explain(ctx, err)
	})
	return images, err
}

func (d *Deployer) images(ctx context.Context, r runtime.Release) ([]runtime.PodImage, error) {
	c, use, err := d.chartOf(ctx, r)
	if err != nil {
		return nil, err
	}
	digest, err := fingerprintOf(unmirrored(r), c, use)
	if err != nil {
		return nil, err
	}
	key := r.Namespace + "/" + r.Service.Name
	if d.named.has(key, digest) {
		return d.named.of(key), nil
	}
	history, known := d.seen.history(r.Namespace, r.Service.Name)
	if !known {
		if history, err = d.history(ctx, r.Namespace, r.Service.Name); err != nil {
			return nil, fmt.Errorf("look at the history of release %s: %w", r.Service.Name, err)
		}
	}
	caps, err := d.cluster.capabilities()
	if err != nil {
		return nil, fmt.Errorf("ask the cluster what it can do: %w", err)
	}
	limit := within(timeoutOf(r.Service))
	limited, stop := context.WithDeadlineCause(ctx, limit.end, limit.err())
	defer stop()
	files, err := d.render(limited, c, nextRevision(r, history), use, caps)
	if err != nil {
		return nil, lacking(use, ofChart(limited, fmt.Errorf("chart of %s: %w", r.Service.Name, err)))
	}
	images, err := imagesIn(files)
	if err == nil {
		d.named.put(key, digest, images)
	}
	return images, err
}

// imagesIn returns the images that the pods in the files of a rendered chart name.
func imagesIn(files map[string]string) (images []runtime.PodImage, err error) {
	_, err = visitImages(files, func(im runtime.PodImage) string {
		images = append(images, im)
		return im.Ref
	})
	return images, err
}

// unmirrored returns r with the images that it names itself.
func unmirrored(r runtime.Release) runtime.Release {
	r.Mirrored = nil
	return r
}

// nextRevision describes the revision of a release that follows a history.
func nextRevision(r runtime.Release, history []observe.Revision) chartutil.ReleaseOptions {
	options := chartutil.ReleaseOptions{Name: r.Service.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	if n := len(history); n > 0 && statusOf(history[n-1]) != release.StatusUninstalled {
		options.Revision, options.IsInstall, options.IsUpgrade = history[n-1].Version+1, false, true
	}
	return options
}

// A namings has, for each service whose chart was rendered for its images, these images, and
// the fingerprint of the chart without what they are replaced by.
type namings struct {
	mu   sync.Mutex
	last map[string]naming // by namespace and service
}

type naming struct {
	digest plan.Digest
	images []runtime.PodImage
}

func (n *namings) has(release string, digest plan.Digest) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[release].digest == digest
}

func (n *namings) of(release string) []runtime.PodImage {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[release].images
}

func (n *namings) put(release string, digest plan.Digest, images []runtime.PodImage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = make(map[string]naming)
	}
	n.last[release] = naming{digest, images}
}

// mirrored returns the files of a rendered chart with the images of r instead of those that
// the chart names.
func mirrored(files map[string]string, r runtime.Release) (map[string]string, error) {
	if !r.Service.MirrorImages {
		return files, nil
	}
	return visitImages(files, func(im runtime.PodImage) string { return cmp.Or(r.Mirrored[im.Ref], im.Ref) })
}

// nameAgain has the images copied that the chart names for this deploy, if they are others
// than when those of the release were determined: its templates depend on something that has
// changed since, such as a CRD of the chart. The release has the fingerprint that the next
// run determines.
func (o *operation) nameAgain(ctx context.Context, files map[string]string) error {
	if !o.r.Service.MirrorImages || o.r.Mirror == nil {
		return nil
	}
	images, err := imagesIn(files)
	if err != nil {
		return err
	}
	named := make(map[string]string)
	for _, im := range images {
		if !o.r.Has(im.Ref) {
			named[im.Ref] = o.r.Mirrored[im.Ref]
		}
	}
	if maps.Equal(named, o.r.Mirrored) {
		return nil
	}
	if o.r.Mirrored, err = o.r.Mirror(ctx, images); err != nil {
		return err
	}
	own, err := fingerprintOf(unmirrored(o.r), o.chart, o.use)
	if err != nil {
		return err
	}
	o.d.named.put(o.r.Namespace+"/"+o.r.Service.Name, own, images)
	o.fingerprint, err = fingerprintOf(o.r, o.chart, o.use)
	return err
}

// visitImages calls visit for each image that the pods in the files of a rendered chart
// name, and returns the files with the results instead of them. Documents that do not
// change are left as they are, and so are those that are not YAML, which whoever reads them
// reports.
func visitImages(files map[string]string, visit func(runtime.PodImage) string) (map[string]string, error) {
	out := maps.Clone(files)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		docs := releaseutil.SplitManifests(files[name])
		keys := slices.Collect(maps.Keys(docs))
		slices.SortFunc(keys, func(a, b string) int {
			if releaseutil.BySplitManifestsOrder([]string{a, b}).Less(0, 1) {
				return -1
			}
			return 1
		})
		var text strings.Builder
		changed := false
		for _, key := range keys {
			doc := docs[key]
			if err := oneObject(doc); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			object := make(map[string]any)
			if yaml.Unmarshal([]byte(doc), &object, exactNumbers) == nil && visitPods(object, visit) {
				data, err := toYAML(object)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				doc, changed = string(data), true
			}
			text.WriteString("---\n" + strings.TrimSuffix(doc, "\n") + "\n")
		}
		if changed {
			out[name] = text.String()
		}
	}
	return out, nil
}

// oneObject returns an error if a document has several objects as JSON without a separator: Helm would
// create all of them if it is a hook, and otherwise only the first one.
func oneObject(doc string) error {
	if !strings.HasPrefix(strings.TrimSpace(doc), "{") {
		return nil
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(doc), 4096)
	for n := 0; ; n++ {
		var object map[string]any
		if err := decoder.Decode(&object); err != nil { // the end, or an error that the parser of the manifests reports
			return nil //nolint:nilerr // see above
		}
		if n > 0 && len(object) > 0 {
			return errors.New("it has several objects as JSON: separate them with ---")
		}
	}
}

// toYAML returns an object as YAML. In JSON, YAML does not allow some characters that JSON
// allows.
func toYAML(object map[string]any) ([]byte, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, c := range string(data) {
		if 0x7f <= c && c <= 0x9f || c == 0xfffe || c == 0xffff {
			fmt.Fprintf(&text, "\\u%04x", c)
		} else {
			text.WriteRune(c)
		}
	}
	return yaml.JSONToYAML(text.Bytes())
}

// visitPods calls visit for the images in an object or in the items of a list, sets them to
// the results, and reports whether one has changed.
func visitPods(object map[string]any, visit func(runtime.PodImage) string) (changed bool) {
	if items, ok := object["items"].([]any); ok {
		for _, item := range items {
			if item, ok := item.(map[string]any); ok {
				changed = visitPods(item, visit) || changed
			}
		}
		return changed
	}
	kind, _ := object["kind"].(string)
	meta, _ := object["metadata"].(map[string]any)
	of := fmt.Sprintf("%s %v", strings.ToLower(kind), meta["name"])
	spec := podSpec(object)
	for _, list := range [...]struct{ field, what string }{
		{"initContainers", "init container"}, {"containers", "container"}, {"ephemeralContainers", "ephemeral container"}, {"volumes", "volume"},
	} {
		all, _ := spec[list.field].([]any)
		for i, one := range all {
			at, field := mapOf(one), "image"
			name := at["name"]
			if name == nil {
				name = i
			}
			if list.field == "volumes" {
				if at, field = mapOf(at["image"]), "reference"; at == nil {
					continue
				}
			}
			if at == nil {
				continue
			}
			ref, _ := at[field].(string)
			if to := visit(runtime.PodImage{Ref: ref, In: fmt.Sprintf("%s, %s %v", of, list.what, name)}); to != ref {
				at[field], changed = to, true
			}
		}
	}
	return changed
}

// podSpec returns the specification of the pods of an object of a built-in kind; nil: it has
// none.
func podSpec(object map[string]any) map[string]any {
	version, _ := object["apiVersion"].(string)
	group, _, ok := strings.Cut(version, "/")
	if !ok {
		group = ""
	}
	kind, _ := object["kind"].(string)
	var path []string
	switch group + "/" + kind {
	case "/Pod":
		path = []string{"spec"}
	case "/PodTemplate":
		path = []string{"template", "spec"}
	case "/ReplicationController", "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job":
		path = []string{"spec", "template", "spec"}
	case "batch/CronJob":
		path = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	default:
		return nil
	}
	for _, field := range path {
		object = mapOf(object[field])
	}
	return object
}

func mapOf(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
