package why

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/pipelinefile/pipe/plan"
)

// There is the field of [Changed] for the existence of the service.
const There = "whether it is there"

// Reach finds the parameters of p that affect the service: it evaluates the
// plan with other values of each, and compares the service. A parameter that
// matters only at a value that is not tried is not found; one for which no
// other value evaluates is Unknown. An error of eval counts as such a value,
// unless ctx is done.
func (e *Explanation) Reach(ctx context.Context, p *plan.Plan, eval func(ctx context.Context, name, value string) (*plan.Plan, error)) error {
	for _, param := range p.Params {
		fields, known := map[string]bool{}, false
		for _, value := range others(param) {
			other, err := eval(ctx, param.Name, value)
			if ctx.Err() != nil {
				return errors.Join(context.Cause(ctx), err)
			}
			if err != nil {
				continue
			}
			known = true
			changed, err := Changed(p, other, e.Service)
			if err != nil {
				return err
			}
			for _, f := range changed {
				fields[f] = true
			}
		}
		switch {
		case len(fields) > 0:
			e.Params = append(e.Params, Param{param, slices.Sorted(maps.Keys(fields))})
		case !known:
			e.Unknown = append(e.Unknown, param.Name)
		}
	}
	return nil
}

// others returns values to try for a parameter: its other choices, or a few values of its type.
func others(p plan.Param) []string {
	values := p.Choices
	if len(values) == 0 {
		switch p.Type {
		case "bool":
			values = []string{"true", "false"}
		case "int":
			n, _ := strconv.Atoi(p.Value) // it evaluated, so it is a number; a huge one gives 1 and -1
			values = []string{strconv.Itoa(n + 1), strconv.Itoa(n - 1)}
		case "float":
			f, _ := strconv.ParseFloat(p.Value, 64)
			values = []string{strconv.FormatFloat(f+1, 'g', -1, 64), strconv.FormatFloat(f/2+0.25, 'g', -1, 64)}
		default: // a name, a version, a quantity
			values = []string{p.Value + "x", p.Value + "1", "1" + p.Value, ""}
		}
	}
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == p.Value })
}

// Changed names the fields of a service that differ between two plans, such as
// "replicas", "env TITLE", "build args.GO", sorted. If only one plan has the
// service, it returns There. Positions and build IDs are ignored.
func Changed(a, b *plan.Plan, service string) ([]string, error) {
	x, y := a.Service(service), b.Service(service)
	if x == nil || y == nil {
		if x == y {
			return nil, nil
		}
		return []string{There}, nil
	}
	was, err := fields(a, x)
	if err != nil {
		return nil, err
	}
	is, err := fields(b, y)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, m := range []map[string]string{was, is} {
		for f := range m {
			v, inWas := was[f]
			if w, inIs := is[f]; v != w || inWas != inIs {
				out[f] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(out)), nil
}

// fields returns the fields of a service, including those of its build, by name.
func fields(p *plan.Plan, s *plan.Service) (map[string]string, error) {
	out := map[string]string{}
	whole := *s
	whole.Images = slices.Clone(s.Images)
	for i := range whole.Images { // the ID of a build says nothing
		if im := &whole.Images[i]; im.Build != "" {
			im.Build = "built"
		}
	}
	if err := add(out, "", whole); err != nil {
		return nil, err
	}
	delete(out, "image.build")
	for name, from := range s.AllImages() {
		prefix := "build "
		if name != "" {
			prefix += name + " "
		}
		if b := p.Build(from.Build); b != nil {
			spec := *b
			spec.ID = ""
			if err := add(out, prefix, spec); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// add adds the fields of v to out, with prefix.
func add(out map[string]string, prefix string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // 2^53 and 2^53+1 are one float64
	if err := dec.Decode(&tree); err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	for _, name := range []string{"pos", "placed", "skip_why", "uses"} { // stage, skip and env say what changed
		delete(tree, name)
	}
	if c, ok := tree["chart"].(map[string]any); ok {
		delete(c, "pos")
	}
	if w, ok := tree["workload"].(map[string]any); ok { // its fields are arguments of the call
		delete(tree, "workload")
		flatten(out, prefix, w)
	}
	flatten(out, prefix, tree)
	return nil
}

// flatten writes the leaves of a tree. Elements of a list that have names, such
// as variables and ports, are keyed by name; any other list is a leaf.
func flatten(out map[string]string, prefix string, tree map[string]any) {
	for key, v := range tree {
		name := prefix + key
		switch v := v.(type) {
		case map[string]any:
			flatten(out, name+".", v)
		case []any:
			if len(v) == 0 || slices.ContainsFunc(v, func(e any) bool { return nameOf(e) == "" }) {
				out[name] = text(v)
				continue
			}
			for _, e := range v {
				out[name+" "+nameOf(e)] = text(e)
			}
		default:
			out[name] = text(v)
		}
	}
}

// nameOf returns the name of a list element, or "".
func nameOf(v any) string {
	m, _ := v.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil { // it was decoded from JSON
		return fmt.Sprint(v)
	}
	return string(data)
}
