// Package chart prepares Helm charts: those that services bring, wherever they
// are, and those that it makes for services that bring none.
//
// A chart gets, over its own values: its values_files, then what pipe says,
// then the values of the Pipelinefile. What pipe says is
//
//	image:
//	  reference:  registry/name@sha256:…   the whole
//	  repository: registry/name            as the chart's templates join it with
//	  tag:        …                        the tag or the digest: see imageValues
//	  digest:     sha256:…
//	global:
//	  pipe:
//	    pipeline, environment, service     their names
//	    image:      registry/name@sha256:… for subcharts, too
//	    secrets:    …                      changes when the value of a secret changes
//
// A chart with a values.schema.json gets of these only the keys that its own
// values.yaml has, as others may be an error to it.
package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

// A Shelf holds the charts of a process. Each is loaded once, however many
// services use it.
type Shelf struct {
	// Notice, if set before the shelf is used, is told what is damaged in the cache
	// and is fetched again, or cannot be kept.
	Notice func(string)

	dir   string // the workspace
	cache string // for charts from elsewhere

	mu    sync.Mutex
	slots map[string]*slot // by where the chart is from
}

// A slot is the place of one chart.
type slot struct {
	ref   plan.Chart
	turn  chan struct{} // holds one token, of who may look and load
	chart *Chart        // nil until it is loaded; a failure is not kept, as the next try may succeed
}

// NewShelf returns an empty shelf for charts of the workspace dir, and for
// others, which are kept in the folder cache. Nothing is ever written to the
// workspace.
func NewShelf(dir, cache string) *Shelf {
	return &Shelf{dir: dir, cache: cache, slots: make(map[string]*slot)}
}

// A Chart is a chart with the values that belong to it wherever it is used. It
// is shared and does not change.
type Chart struct {
	Digest plan.Digest // over all its files, those of its dependencies and its values files
	chart  func() (*chart.Chart, error)
	own    map[string]any   // its own values; of one that is made here only those that pipe tells it others for
	schema bool             // it has a schema for its values
	crds   bool             // it installs kinds of its own
	beside bool             // a dependency is another folder of the workspace
	made   bool             // it is made here
	files  []map[string]any // of values_files, in their order
}

// Chart returns the chart of a service: the one that it brings, or the one
// that is made for it, in which keyOf says where secrets are.
func (s *Shelf) Chart(ctx context.Context, service plan.Service, keyOf KeyOf) (*Chart, error) {
	if service.Chart == nil {
		return made(service, keyOf)
	}
	ref := *service.Chart
	ref.Pos = plan.Pos{}
	place := s.slot(ref)
	select {
	case place.turn <- struct{}{}:
		defer func() { <-place.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if place.chart == nil {
		c, err := s.load(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", redact.URLs(ref.Ref), err)
		}
		place.chart = c
	}
	return place.chart, nil
}

func (s *Shelf) slot(ref plan.Chart) *slot {
	key := fmt.Sprintf("%q", ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[key] == nil {
		s.slots[key] = &slot{ref: ref, turn: make(chan struct{}, 1)}
	}
	return s.slots[key]
}

// Changed has charts loaded again that are, or that have values, at one of the
// paths of the workspace; all charts if paths is nil. Those that take a dependency
// from another folder of the workspace are always among them.
func (s *Shelf) Changed(paths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.slots, func(_ string, place *slot) bool {
		return paths == nil || place.chart != nil && place.chart.beside ||
			slices.ContainsFunc(paths, func(p string) bool {
				return p == place.ref.Ref || place.ref.Ref == "." || strings.HasPrefix(p, place.ref.Ref+"/") || slices.Contains(place.ref.ValuesFiles, p)
			})
	})
}

// newChart returns the chart with values files, of which later ones win.
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

// made returns the chart that is made for a service. Most are only compared with
// what is deployed, by their digests: Helm's form it gets when it is asked for.
func made(service plan.Service, keyOf KeyOf) (*Chart, error) {
	list, err := generate(service, keyOf)
	if err != nil {
		return nil, fmt.Errorf("make a chart for %s: %w", service.Name, err)
	}
	sum := sha256.New()
	sumFiles(sum, service.Name, version, list)
	fmt.Fprintln(sum, "end")
	return &Chart{
		Digest: plan.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil))),
		chart:  sync.OnceValues(func() (*chart.Chart, error) { return loadFiles(service, list) }),
		own:    madeOwn, schema: true, made: true,
	}, nil
}

// madeOwn is what values.yaml.tmpl has of what pipe tells a chart.
var madeOwn = map[string]any{
	"image":  map[string]any{"reference": "", "repository": "", "tag": "", "digest": "", "pullPolicy": "IfNotPresent"},
	"global": map[string]any{"pipe": map[string]any{}},
}

// sumChart writes all of a chart that can have an effect, in an order of its own.
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

// Copy returns the chart for one use by Helm, which changes the charts that it
// is given: it takes out the subcharts that values turn off.
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

// HasCRDs reports whether the chart installs kinds of its own before its objects.
func (c *Chart) HasCRDs() bool { return c.crds }
