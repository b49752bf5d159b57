// Package chart prepares Helm charts: those that services name with chart=, from any
// source, and generated ones for services without chart=.
//
// The values of a chart are overridden by its values_files, then by the values that pipe
// sets, then by the values of the Pipelinefile. pipe sets
//
//	image:
//	  reference:  registry/name@sha256:…   the full reference
//	  repository: registry/name            as the chart's templates join it with
//	  tag:        …                        the tag or the digest: see imageValues
//	  digest:     sha256:…
//	global:
//	  pipe:
//	    pipeline, environment, service     their names
//	    image:      registry/name@sha256:… also visible to subcharts
//	    secrets:    …                      changes when the value of a secret changes
//
// A chart with a values.schema.json gets only those of these keys that its own
// values.yaml has, because the schema may forbid others.
package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/internal/manifest"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/render"
)

// A Shelf holds the charts of a process. Each chart is loaded once for all
// services that use it.
type Shelf struct {
	// Notice, if set before the shelf is used, is called for charts in the cache that are
	// damaged and fetched again, or that cannot be cached.
	Notice func(string)
	// Renderer, if set before the shelf is used, evaluates kustomizations, within its
	// limits; nil: they are evaluated in this process.
	Renderer *render.Renderer

	dir   string // the workspace, or the checkout of a repository
	what  string // what dir is, for errors
	cache string // for charts from repositories and registries

	checkouts git.Checkouts // of git repositories
	generator *generator
	schema    func() (*jsonschema.Schema, error) // of generated charts

	mu    sync.Mutex
	slots map[string]*slot // by the source of the chart
}

// A slot is the place of one chart.
type slot struct {
	from  []string      // the files and directories of the workspace that it is loaded from
	turn  chan struct{} // holds one token, for reading and loading
	chart *Chart        // nil until it is loaded; failures are not kept, because a retry may succeed
}

// NewShelf returns an empty shelf for charts in the workspace dir, and for
// other charts, which are kept in the directory cache. Nothing is ever written to the
// workspace.
func NewShelf(dir, cache string) *Shelf {
	s := &Shelf{dir: dir, what: "workspace", cache: cache, slots: make(map[string]*slot), generator: newGenerator()}
	s.schema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compileSchema(s.generator.schema()) })
	s.checkouts.Dir, s.checkouts.Notice = filepath.Join(cache, "git"), s.notice
	return s
}

// ShareCheckouts makes the shelf use the checkouts of git repositories in a directory in which builders
// keep theirs (I10). It must be called before the shelf is used. Default: a directory in the cache.
func (s *Shelf) ShareCheckouts(dir string) { s.checkouts.Dir = dir }

// A Chart is a chart with its values files. It is shared and does not change.
type Chart struct {
	Digest plan.Digest // of all its files, those of its dependencies and its values files
	chart  func() (*chart.Chart, error)
	own    map[string]any // its own values; for a generated chart only those that pipe overrides
	schema bool           // it has a schema for its values, or takes none
	crds   bool           // it installs CRDs
	beside bool           // a dependency is another directory of the workspace
	made   bool           // it is generated
	// schemaOf returns the schema of generated charts; nil if it has another one, or none.
	schemaOf func() (*jsonschema.Schema, error)
	files    []map[string]any // of values_files, in their order

	objects []manifest.Object // of a service that consists of manifests
}

// Chart returns the chart of a service: the one that it names, the one of its
// manifests, or a generated one,
// in which keyOf locates secrets.
func (s *Shelf) Chart(ctx context.Context, service plan.Service, keyOf KeyOf) (*Chart, error) {
	if service.Generated() {
		return s.made(service, keyOf)
	}
	place := s.slot(service)
	select {
	case place.turn <- struct{}{}:
		defer func() { <-place.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if place.chart != nil {
		return place.chart, nil
	}
	c, err := s.loadFor(ctx, service)
	if err != nil {
		return nil, err
	}
	place.chart = c
	return c, nil
}

// loadFor loads the chart that a service names, or the one of its manifests.
func (s *Shelf) loadFor(ctx context.Context, service plan.Service) (*Chart, error) {
	if service.Chart != nil {
		c, err := s.load(ctx, *service.Chart)
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", redact.URLs(service.Chart.Ref), err)
		}
		return c, nil
	}
	list, objects, err := s.manifests(ctx, service)
	if err != nil {
		return nil, fmt.Errorf("manifests of %s: %w", service.Name, err)
	}
	c, err := loadFiles(service, list)
	if err != nil {
		return nil, err
	}
	out, err := newChart(c, nil)
	if err == nil {
		out.schema, out.made, out.objects = true, true, objects
	}
	return out, err
}

// slot returns the place of the chart of a service.
func (s *Shelf) slot(service plan.Service) *slot {
	var key string
	var from []string
	if c := service.Chart; c != nil {
		ref := *c
		ref.Pos = plan.Pos{}
		key, from = fmt.Sprintf("%q", ref), slices.Clone(c.ValuesFiles)
		if c.InWorkspace() {
			from = append(from, c.Ref)
		}
	} else {
		data, _ := json.Marshal(service.Manifests) // what cannot be encoded, the plan does not contain
		key = service.Name + " " + string(data)
		for _, m := range service.Manifests {
			from = append(append(from, m.File), m.Files...)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[key] == nil {
		s.slots[key] = &slot{from: from, turn: make(chan struct{}, 1)}
	}
	return s.slots[key]
}

// Changed makes charts be loaded again whose files or values files are at one of the
// paths of the workspace; all charts if paths is nil. Charts with a dependency in another
// directory of the workspace are always loaded again.
func (s *Shelf) Changed(paths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.slots, func(_ string, place *slot) bool {
		return paths == nil || place.chart != nil && place.chart.beside ||
			slices.ContainsFunc(paths, func(p string) bool {
				return slices.ContainsFunc(place.from, func(from string) bool { return p == from || from == "." || strings.HasPrefix(p, from+"/") })
			})
	})
}

// newChart returns the chart with values files; later ones take precedence.
func newChart(c *chart.Chart, files []valuesFile) (*Chart, error) {
	out := &Chart{
		chart: func() (*chart.Chart, error) { return c, nil },
		own:   c.Values, schema: c.Schema != nil, crds: len(c.CRDObjects()) > 0,
	}
	sum := sha256.New()
	sumChart(sum, c)
	for _, f := range files {
		fmt.Fprintf(sum, "values %x\n", sha256.Sum256(f.data))
		values, err := chartutil.ReadValues(f.data)
		if err != nil {
			return nil, fmt.Errorf("values file %s: %w", f.name, err)
		}
		out.files = append(out.files, values)
	}
	out.Digest = plan.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
	return out, nil
}

// A valuesFile is one of values_files.
type valuesFile struct {
	name string
	data []byte
}

// made returns the generated chart of a service. Most charts are only compared with
// what is deployed, by their digests, so the Helm chart is created when it is needed.
func (s *Shelf) made(service plan.Service, keyOf KeyOf) (*Chart, error) {
	list, err := s.generator.generate(service, keyOf)
	if err != nil {
		return nil, fmt.Errorf("generate a chart for %s: %w", service.Name, err)
	}
	sum := sha256.New()
	sumFiles(sum, service.Name, version, list)
	fmt.Fprintln(sum, "end")
	return &Chart{
		Digest: plan.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil))),
		chart:  sync.OnceValues(func() (*chart.Chart, error) { return loadFiles(service, list) }),
		own:    ownOf(service), schema: true, made: true, schemaOf: s.schema,
	}, nil
}

// madeOwn are the values in values.yaml.tmpl that pipe overrides.
var madeOwn = map[string]any{
	"image":  map[string]any{"reference": "", "repository": "", "tag": "", "digest": "", "pullPolicy": "IfNotPresent"},
	"global": map[string]any{"pipe": map[string]any{}},
}

// ownOf returns the values that pipe overrides in the generated chart of a service.
func ownOf(s plan.Service) map[string]any {
	if len(s.Images) == 0 {
		return madeOwn
	}
	own, images := maps.Clone(madeOwn), make(map[string]any, len(s.Images))
	for _, im := range s.Images {
		images[im.Name] = ""
	}
	own["images"] = images
	return own
}

// sumChart writes all parts of a chart that can have an effect, in a fixed order.
func sumChart(sum io.Writer, c *chart.Chart) {
	id := func(c *chart.Chart) string { return fmt.Sprintf("%q %q", c.Name(), c.Metadata.Version) }
	byID := func(a, b *chart.Chart) int { return strings.Compare(id(a), id(b)) }
	sumFiles(sum, c.Name(), c.Metadata.Version, c.Raw)
	for _, d := range slices.SortedFunc(slices.Values(c.Dependencies()), byID) {
		sumChart(sum, d)
	}
	fmt.Fprintln(sum, "end")
}

// sumFiles writes the files of a chart without its dependencies.
func sumFiles(sum io.Writer, name, version string, files []*chart.File) {
	fmt.Fprintf(sum, "chart %q %q\n", name, version)
	byName := func(a, b *chart.File) int { return strings.Compare(a.Name, b.Name) }
	for _, f := range slices.SortedFunc(slices.Values(files), byName) {
		fmt.Fprintf(sum, "file %q %x\n", f.Name, sha256.Sum256(f.Data))
	}
}

// Copy returns a copy of the chart for one use by Helm, which changes charts:
// it removes the subcharts that values disable.
func (c *Chart) Copy() (*chart.Chart, error) {
	whole, err := c.chart()
	if err != nil {
		return nil, err
	}
	return copyChart(whole), nil
}

func copyChart(c *chart.Chart) *chart.Chart {
	out := &chart.Chart{
		Raw: c.Raw, Lock: c.Lock, Templates: c.Templates, Schema: c.Schema, Files: c.Files,
		Values: copyMap(c.Values),
	}
	meta := *c.Metadata
	meta.Dependencies = nil
	for _, d := range c.Metadata.Dependencies {
		d := *d
		d.ImportValues = slices.Clone(d.ImportValues)
		meta.Dependencies = append(meta.Dependencies, &d)
	}
	out.Metadata = &meta
	for _, d := range c.Dependencies() {
		out.AddDependency(copyChart(d))
	}
	return out
}

// copyMap copies a tree of JSON values.
func copyMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	return copyValue(m).(map[string]any)
}

func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = copyValue(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = copyValue(e)
		}
		return out
	}
	return v
}

// HasCRDs reports whether the chart installs CRDs before its objects.
func (c *Chart) HasCRDs() bool { return c.crds }
