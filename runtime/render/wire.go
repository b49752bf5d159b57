package render

import (
	"encoding/gob"
	"encoding/json"
	"reflect"
	"sync"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// The processes communicate with gob, which preserves the types of values: a
// template renders integers and floats differently.

// A toWorker is one message to a worker. One of its fields is set.
type toWorker struct {
	Settings *settings // the first message
	Request  *request
	Found    *found // answers a Query
}

// A fromWorker is one message from a worker. One of its fields is set.
type fromWorker struct {
	Template string // the template that is rendered next
	Log      string // a line of Helm's log
	Query    *query
	Done     *done // answers a Request
}

type settings struct {
	Memory int64
}

type request struct {
	Key          string
	Forget       bool       // forget the charts that the worker has
	Chart        *wireChart // nil: the worker has the chart of Key
	Values       any        // packed
	Valid        bool
	Release      chartutil.ReleaseOptions
	Capabilities *chartutil.Capabilities
	Check        bool
	Kustomize    string
	Output       int
	Objects      int
}

type query struct{ APIVersion, Kind, Namespace, Name string }

type found struct {
	Object any // packed
	Err    string
}

type done struct {
	Files map[string]string
	Err   string
	Over  string // the limit, if one was exceeded, and Of the template
	Of    string
}

// A wireChart is a chart without the parts that templates cannot see.
type wireChart struct {
	Metadata         []byte // JSON
	Schema           []byte
	Values           any // packed
	Templates, Files []*chart.File
	Dependencies     []*wireChart
}

func toWire(c *chart.Chart) (*wireChart, error) {
	meta, err := json.Marshal(c.Metadata)
	if err != nil {
		return nil, err
	}
	w := &wireChart{Metadata: meta, Schema: c.Schema, Values: pack(c.Values), Templates: c.Templates, Files: c.Files}
	for _, d := range c.Dependencies() {
		dep, err := toWire(d)
		if err != nil {
			return nil, err
		}
		w.Dependencies = append(w.Dependencies, dep)
	}
	return w, nil
}

func (w *wireChart) chart() (*chart.Chart, error) {
	c := &chart.Chart{Schema: w.Schema, Templates: w.Templates, Files: w.Files}
	if err := json.Unmarshal(w.Metadata, &c.Metadata); err != nil {
		return nil, err
	}
	c.Values, _ = unpack(w.Values).(map[string]any)
	for _, d := range w.Dependencies {
		dep, err := d.chart()
		if err != nil {
			return nil, err
		}
		c.AddDependency(dep)
	}
	return c, nil
}

// request returns the request to a worker, without the chart.
func (j Job) request(o Options) request {
	values := j.Values
	if values == nil {
		values = map[string]any{}
	}
	return request{
		Key: j.Key, Values: pack(values), Valid: j.Valid, Release: j.Release, Capabilities: j.Capabilities, Check: j.Check, Kustomize: j.kustomize, Output: o.Output, Objects: o.Objects,
	}
}

// A null represents a nil within a map or a list, which gob does not support.
type null struct{}

// register registers the types that values and Kubernetes objects consist of with gob,
// in addition to the basic ones.
var register = sync.OnceFunc(func() {
	gob.Register(null{})
	gob.Register(map[string]any{})
	gob.Register([]any{})
	gob.Register(json.Number(""))
})

// pack returns a copy of a tree of values that gob can encode.
func pack(v any) any {
	switch v := v.(type) {
	case nil:
		return null{}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			out[key] = pack(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = pack(e)
		}
		return out
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Map:
		out := make(map[string]any, r.Len())
		for key, e := range r.Seq2() {
			out[key.String()] = pack(e.Interface())
		}
		return out
	case reflect.Slice:
		out := make([]any, r.Len())
		for i := range out {
			out[i] = pack(r.Index(i).Interface())
		}
		return out
	}
	return v
}

// unpack reverses pack.
func unpack(v any) any {
	switch v := v.(type) {
	case null:
		return nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			out[key] = unpack(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = unpack(e)
		}
		return out
	}
	return v
}

// copyOf returns a copy of values.
func copyOf(values map[string]any) map[string]any {
	out, _ := unpack(pack(values)).(map[string]any)
	return out
}
