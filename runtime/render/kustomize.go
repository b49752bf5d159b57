package render

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"

	"helm.sh/helm/v3/pkg/chart"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Kustomize returns the objects of the kustomization in the directory dir, as YAML
// documents. files are all files that it gets, by their slash-separated paths: it reads
// nothing else, has no network and no plugins. Its limits are those of a chart. key
// identifies the files.
func (r *Renderer) Kustomize(ctx context.Context, key, dir string, files map[string][]byte) (string, error) {
	c := &chart.Chart{Metadata: &chart.Metadata{Name: dir}}
	for name, data := range files {
		c.Files = append(c.Files, &chart.File{Name: name, Data: data})
	}
	out, err := r.Render(ctx, Job{Key: key, Chart: c, kustomize: dir})
	var over *BoundError
	if errors.As(err, &over) {
		return "", fmt.Errorf("kustomization %s takes %s: correct it", dir, over.Bound)
	}
	return out[kustomized], err
}

// kustomized is the name of the result of a kustomization among the files.
const kustomized = "kustomization"

// kustomize evaluates a kustomization, whose files are those of c.
func kustomize(dir string, c *chart.Chart, r request) (files map[string]string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("kustomization %s cannot be evaluated: %v", dir, v)
		}
	}()
	fs := filesys.MakeFsInMemory()
	for _, f := range c.Files {
		if err := fs.WriteFile(path.Join("/", f.Name), slices.Clone(f.Data)); err != nil {
			return nil, err
		}
	}
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, path.Join("/", dir))
	if err != nil {
		return nil, err
	}
	text, err := objects.AsYaml()
	if err != nil {
		return nil, err
	}
	files = map[string]string{kustomized: string(text)}
	return files, bounded(files, r)
}

// offline refuses all requests of this process.
type offline struct{}

// RoundTrip implements [http.RoundTripper].
func (offline) RoundTrip(req *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s: there is no network here", req.URL.Redacted())
}
