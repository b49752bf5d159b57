package render

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// An overError means that the output of the templates exceeds a limit.
type overError struct{ template, bound string }

func (e *overError) Error() string { return e.template + " gives " + e.bound }

// render renders a chart as Helm does. If begin is not nil, it is called before each
// template is rendered.
func render(r request, c *chart.Chart, lookup func(query) (map[string]any, error), begin func(template string)) (files map[string]string, err error) {
	if r.Kustomize != "" {
		return kustomize(r.Kustomize, c, r)
	}
	defer func() { // Helm recovers from only some panics
		if v := recover(); v != nil {
			err = fmt.Errorf("chart %s cannot be rendered: %v", c.Name(), v)
		}
	}()
	copied := copyChart(c, begin != nil)
	values := unpack(r.Values).(map[string]any)
	if err := chartutil.ProcessDependenciesWithMerge(copied, values); err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValuesWithSchemaValidation(copied, values, r.Release, r.Capabilities, r.Valid)
	if err != nil {
		return nil, err
	}
	if r.Check && asks(c) {
		return nil, nil
	}
	files, err = engine.RenderWithClientProvider(copied, all, provider{lookup, begin})
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasSuffix(name, trace) })
	return files, bounded(files, r)
}

// asks reports whether the output of the chart may depend on the cluster.
func asks(c *chart.Chart) bool {
	return slices.ContainsFunc(c.Templates, func(t *chart.File) bool {
		return bytes.Contains(t.Data, []byte("Capabilities")) || bytes.Contains(t.Data, []byte("lookup"))
	}) || slices.ContainsFunc(c.Dependencies(), asks)
}

// bounded checks the limits on the output of the templates.
func bounded(files map[string]string, r request) error {
	length, objects := 0, 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		length += len(files[name])
		objects += strings.Count("\n"+files[name], "\n---") + 1
		if length > r.Output {
			return &overError{name, "more than " + size(int64(r.Output)) + " of output"}
		}
		if objects > r.Objects {
			return &overError{name, fmt.Sprintf("more than %d objects", r.Objects)}
		}
	}
	return nil
}

// trace is the suffix of the name of a template that is rendered just before another
// one, and reports that: Helm renders templates in reverse order of their names.
const trace = "\x01"

// tracer is the API version that such a template looks up.
const tracer = "render.pipelinefile.github.io"

// copyChart returns a copy of a chart, because Helm changes the charts that it renders;
// if traced is set, with a trace for each template.
func copyChart(c *chart.Chart, traced bool) *chart.Chart {
	out := &chart.Chart{Lock: c.Lock, Schema: c.Schema, Files: c.Files, Values: copyOf(c.Values)}
	meta := *c.Metadata
	meta.Dependencies = nil
	for _, d := range c.Metadata.Dependencies {
		d := *d
		d.ImportValues = append([]any(nil), d.ImportValues...)
		meta.Dependencies = append(meta.Dependencies, &d)
	}
	out.Metadata = &meta
	for _, t := range c.Templates {
		out.Templates = append(out.Templates, t)
		if traced && !strings.HasPrefix(t.Name[strings.LastIndexByte(t.Name, '/')+1:], "_") {
			out.Templates = append(out.Templates, &chart.File{Name: t.Name + trace, Data: []byte(`{{ lookup "` + tracer + `" "" "" .Template.Name }}`)})
		}
	}
	for _, d := range c.Dependencies() {
		out.AddDependency(copyChart(d, traced))
	}
	return out
}

// A provider implements the lookups of templates.
type provider struct {
	lookup func(query) (map[string]any, error)
	begin  func(template string)
}

var _ engine.ClientProvider = provider{}

// GetClientFor implements [engine.ClientProvider].
func (p provider) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	return &client{provider: p, query: query{APIVersion: apiVersion, Kind: kind}}, true, nil
}

// A client implements the methods that Helm calls, for one kind of object.
type client struct {
	dynamic.NamespaceableResourceInterface // nil: no other method is called
	provider
	query query
}

// Namespace implements [dynamic.NamespaceableResourceInterface].
func (c *client) Namespace(namespace string) dynamic.ResourceInterface {
	out := *c
	out.query.Namespace = namespace
	return &out
}

// Get implements [dynamic.ResourceInterface].
func (c *client) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	if c.query.APIVersion == tracer {
		c.begin(strings.TrimSuffix(name, trace))
		return nil, apierrors.NewNotFound(schema.GroupResource{}, name)
	}
	q := c.query
	q.Name = name
	object, err := c.provider.lookup(q)
	if err == nil && len(object) == 0 {
		err = apierrors.NewNotFound(schema.GroupResource{}, name)
	}
	return &unstructured.Unstructured{Object: object}, err
}

// List implements [dynamic.ResourceInterface].
func (c *client) List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	object, err := c.provider.lookup(c.query)
	switch {
	case err != nil:
		return nil, err
	case len(object) == 0:
		return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	list := &unstructured.UnstructuredList{}
	list.SetUnstructuredContent(object)
	return list, nil
}
