package chart

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/internal/manifest"
	"github.com/pipelinefile/pipe/plan"
)

// manifests returns the files of the chart of a service that consists of manifests: a
// template for each source, which renders to its documents unchanged, and a file in the
// directory crds for its CRDs, which Helm installs first. It also returns the objects.
func (s *Shelf) manifests(ctx context.Context, service plan.Service) ([]*chart.File, []manifest.Object, error) {
	head, err := yaml.Marshal(chart.Metadata{
		APIVersion: chart.APIVersionV2, Name: service.Name, Version: version, Type: "application",
		Description: "the manifests of " + service.Name,
	})
	if err != nil {
		return nil, nil, err
	}
	list := []*chart.File{{Name: "Chart.yaml", Data: head}, {Name: "values.yaml", Data: []byte("{}\n")}}
	var all []manifest.Object
	for i, source := range service.Manifests {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		name, text, err := s.source(ctx, source)
		if err != nil {
			return nil, nil, err
		}
		objects, crds, docs, err := split(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", source, err)
		}
		all = append(all, objects...)
		file := fmt.Sprintf("%02d-%s.yaml", i+1, name)
		if len(docs) > 0 {
			list = append(list, &chart.File{Name: "templates/" + file, Data: literal(bytes.Join(docs, nil))})
		}
		if len(crds) > 0 {
			list = append(list, &chart.File{Name: "crds/" + file, Data: bytes.Join(crds, nil)})
		}
	}
	return list, all, nil
}

// source returns the text of a source, and a name for it.
func (s *Shelf) source(ctx context.Context, source plan.ManifestSource) (name string, text []byte, err error) {
	if source.Kustomize != "" {
		text, err = s.kustomize(ctx, source)
		return plan.NameFrom(path.Base(source.Kustomize), 60), text, err
	}
	if source.Object != nil {
		data, err := json.Marshal(source.Object)
		if err != nil {
			return "", nil, err
		}
		objects, _, err := manifest.Objects(data)
		if err != nil || len(objects) == 0 {
			return "object", data, err
		}
		return plan.NameFrom(objects[0].Kind+"-"+objects[0].Name, 60), data, nil
	}
	text, err = s.read(source.File)
	base := path.Base(source.File)
	return plan.NameFrom(strings.TrimSuffix(base, path.Ext(base)), 60), text, err
}

// read reads a file of the workspace.
func (s *Shelf) read(name string) ([]byte, error) {
	file, err := s.inWorkspace(name)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", name, withoutPath(err))
	}
	return text, nil
}

// kustomize returns the objects of a kustomization.
func (s *Shelf) kustomize(ctx context.Context, source plan.ManifestSource) ([]byte, error) {
	files := make(map[string][]byte, len(source.Files))
	sum := sha256.New()
	for _, name := range source.Files {
		data, err := s.read(name)
		if err != nil {
			return nil, err
		}
		files[name] = data
		fmt.Fprintf(sum, "%q %d\n%s", name, len(data), data)
	}
	by := s.Renderer
	if by == nil {
		by = ours
	}
	text, err := by.Kustomize(ctx, hex.EncodeToString(sum.Sum(nil)), source.Kustomize, files)
	return []byte(text), err
}

// split returns the objects of a source and its documents, each with a separator before
// it, apart by whether they are CRDs. The items of a List become documents.
func split(text []byte) (objects []manifest.Object, crds, docs [][]byte, err error) {
	for _, doc := range manifest.Split(text) {
		data, err := yaml.YAMLToJSONStrict(doc.InFile())
		if err != nil {
			return nil, nil, nil, err
		}
		list, items, err := manifest.Objects(data)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("line %d: %w", doc.Line, err)
		}
		for i, o := range list {
			own := doc.Data
			if isJSON := bytes.HasPrefix(bytes.TrimSpace(own), []byte("{")); isJSON || !bytes.Equal(items[i], data) {
				if own, err = yaml.JSONToYAML(items[i]); err != nil {
					return nil, nil, nil, err
				}
			}
			own = slices.Concat([]byte("---\n"), bytes.Trim(own, "\n"), []byte("\n"))
			if o.IsCRD() {
				crds = append(crds, own)
			} else {
				docs = append(docs, own)
			}
		}
		objects = append(objects, list...)
	}
	return objects, crds, docs, nil
}

// literal returns a template that renders to text.
func literal(text []byte) []byte { return bytes.ReplaceAll(text, []byte("{{"), []byte(`{{"{{"}}`)) }

// checkObjects checks that the objects can be part of a release in the namespace, each
// once. For files and dicts the evaluation has checked this; files may have changed since.
func checkObjects(objects []manifest.Object, namespace string) error {
	seen := make(map[manifest.Object]bool, len(objects))
	for _, o := range objects {
		if o.Namespace != "" && o.Namespace != namespace {
			return fmt.Errorf("%s is in namespace %q, but the release is in %q: leave out metadata.namespace", o, o.Namespace, namespace)
		}
		o.Namespace = ""
		if key := o.Key(); seen[key] {
			return fmt.Errorf("%s is there twice", o)
		} else {
			seen[key] = true
		}
	}
	return nil
}
