package builtins

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// fixed are keys that pipe sets in generated charts, with hints.
var fixed = []struct {
	path []string
	hint string
}{
	{[]string{"image", "reference"}, `write image = "name:tag"`},
	{[]string{"image", "repository"}, `write image = "name:tag"`},
	{[]string{"image", "tag"}, `write image = "name:tag"`},
	{[]string{"image", "digest"}, `write image = "name@sha256:…"`},
	{[]string{"global", "pipe"}, "leave it out: charts read it, and pipe finds what it deployed by it"},
}

// overridden checks that values= for a generated chart does not set what an argument of
// the call sets as well: values= takes precedence, so the argument would have no effect.
// Equal values are allowed.
func (c *Call) overridden(t plan.ServiceType, a *common) {
	if len(a.Values) == 0 {
		return
	}
	for _, f := range fixed {
		if _, has := lookup(a.Values, f.path); has {
			c.wrongValue(f.path, explain.Errorf("pipe sets it").WithHint("%s", f.hint))
		}
	}
	var reported []string
	for p := range c.Passed() {
		given := c.argument(p)
		if given == nil {
			continue
		}
		for _, key := range strings.Fields(p.Tag.Get("sets")) {
			path := strings.Split(key, ".")
			if v, has := lookup(a.Values, path); has && !same(given, v) && !slices.Contains(reported, key) {
				c.contradiction(path, p.Name)
				reported = append(reported, key)
			}
		}
	}
	c.probed(t, a)
	if labels, ok := a.Values["labels"].(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			if given, has := a.Labels[name]; has && labels[name] != given {
				c.contradiction([]string{"labels", name}, "labels")
			}
		}
	}
	if annotations, ok := a.Values["podAnnotations"].(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(annotations)) {
			if given, has := a.Annotations[name]; has && annotations[name] != given {
				c.contradiction([]string{"podAnnotations", name}, "annotations")
			}
		}
	}
	if a.Resources == nil {
		return
	}
	r := a.Resources.plan
	for _, of := range []struct{ kind, name, given string }{
		{"requests", "cpu", r.CPU}, {"requests", "memory", r.Memory}, {"limits", "cpu", r.CPULimit}, {"limits", "memory", r.MemoryLimit},
	} {
		path := []string{"resources", of.kind, of.name}
		if v, has := lookup(a.Values, path); has && of.given != "" && v != of.given {
			c.contradiction(path, "resources")
		}
	}
}

// probed checks that values= sets no duration that the pods do not use: without a health
// check they have no startup probe, and with one they need not run for a while.
func (c *Call) probed(t plan.ServiceType, a *common) {
	checked := a.Health != nil || a.Startup != nil || t == plan.Database
	if v, has := a.Values["health"]; has {
		checked = v != nil
	}
	unused, p := "startupSeconds", explain.Errorf("the service has no health check, so it has no effect").WithHint("add health =")
	if checked {
		unused, p = "settleSeconds", explain.Errorf("the service has a health check, so it has no effect").WithHint("leave it out, or leave out the health check")
	}
	if _, has := a.Values[unused]; has {
		c.wrongValue([]string{unused}, p)
	}
}

// contradiction reports that values= and an argument both set path.
func (c *Call) contradiction(path []string, param string) {
	c.wrongValue(path, explain.Errorf("%s= is also given and would have no effect", param).
		WithHint("write it as %s = …, and leave it out of values=", param), c.givenHere(param))
}

// wrongValue reports p about the key at path in values=.
func (c *Call) wrongValue(path []string, p *explain.Error, related ...plan.Related) {
	at := make([]any, len(path))
	for n, key := range path {
		at[n] = key
	}
	at[len(at)-1] = explain.Key(path[len(path)-1])
	c.rejectAt("values", p.In(at), related...)
}

// says reports whether the call passes the keyword, with a value that is not None.
func (c *Call) says(param string) bool {
	v := c.Keyword(param)
	return v != nil && v != starlark.None
}

// same reports whether an argument equals a value. Only numbers and strings are compared.
func same(argument starlark.Value, v any) bool {
	switch a := argument.(type) {
	case starlark.Int:
		return strings.TrimSuffix(fmt.Sprint(v), ".0") == a.String()
	case starlark.String:
		return v == string(a)
	}
	return false
}

// lookup returns the entry of values at path, and whether it exists, even if it is None.
func lookup(values map[string]any, path []string) (any, bool) {
	for _, key := range path[:len(path)-1] {
		values, _ = values[key].(map[string]any)
	}
	v, has := values[path[len(path)-1]]
	return v, has
}
