package chartspec

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A Problem is an error in one value.
type Problem struct {
	Path    []any    // keys and indexes of the value
	Message string   // without the path
	Unknown bool     // a name is not known: Part or, if that is empty, the last key of Path
	Part    string   // a part of the value, such as of the path of a JSON patch
	Known   []string // the known names at this place, if Unknown
	// Argument is the argument of a service that sets the key, which values= cannot; empty:
	// this is another problem.
	Argument string
}

// MaxProblems limits the problems that are returned, as more would not be read.
const MaxProblems = 10

// Check returns the problems of values= for the generated chart of a workload: unknown
// keys, values that the schema rejects, keys that only charts of the other workload have,
// and keys that an argument of the service sets. It returns at most ten problems, sorted by path. Values are plain data, as in
// plan.Values.
func Check(w Workload, values map[string]any) []Problem {
	c := checker{workload: w}
	c.object(nil, Shape{Type: Object, Fields: keys}, values)
	return c.found
}

type checker struct {
	workload Workload
	found    []Problem
}

func (c *checker) add(path []any, format string, args ...any) {
	c.found = append(c.found, Problem{Path: slices.Clone(path), Message: fmt.Sprintf(format, args...)})
}

func (c *checker) full() bool { return len(c.found) >= MaxProblems }

func (c *checker) value(path []any, s Shape, v any) {
	if c.full() {
		return
	}
	if v == nil {
		if s.Needed || len(path) > 1 {
			c.add(path, "want %s, got None", s.Type.word())
		}
		return
	}
	switch s.Type {
	case "": // of any type
		return
	case Object:
		if m, ok := v.(map[string]any); ok {
			c.object(path, s, m)
			return
		}
	case Array:
		if l, ok := v.([]any); ok {
			for i := 0; s.Elem != nil && i < len(l); i++ {
				c.value(append(path, i), *s.Elem, l[i])
			}
			return
		}
	case Boolean:
		if _, ok := v.(bool); ok {
			return
		}
	case Integer:
		if n, ok := Whole(v); ok {
			c.integer(path, s, n)
			return
		}
	case String:
		if text, ok := v.(string); ok {
			c.string(path, s, text)
			return
		}
	}
	c.add(path, "want %s, got %s", s.Type.word(), TypeOf(v))
}

func (c *checker) object(path []any, s Shape, m map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if c.full() {
			return
		}
		at := append(path, name)
		i := slices.IndexFunc(s.Fields, func(k Key) bool { return k.Name == name && k.For(c.workload) })
		switch {
		case i >= 0 && s.Fields[i].Argument != "":
			param := s.Fields[i].Argument
			c.found = append(c.found, Problem{Path: slices.Clone(at), Message: param + "= of the service sets it", Argument: param})
		case i >= 0:
			c.value(at, s.Fields[i].Shape, m[name])
		case len(s.Fields) > 0:
			c.unknown(at, s.Fields)
		case s.Elem != nil:
			c.value(at, *s.Elem, m[name])
		}
	}
	// For objects at the top level, the defaults of the chart contain the other keys: values
	// are merged over the defaults.
	for _, k := range s.Fields {
		if _, has := m[k.Name]; k.Required && !has && len(path) > 1 && !c.full() {
			c.add(path, "%s is missing", k.Name)
		}
	}
}

func (c *checker) unknown(path []any, fields []Key) {
	p := Problem{Path: slices.Clone(path), Unknown: true, Message: "a generated chart has no such value"}
	for _, k := range fields {
		if k.For(c.workload) && k.Argument == "" {
			p.Known = append(p.Known, k.Name)
		} else if k.Name == path[len(path)-1] {
			p.Message = map[Workload]string{Service: "only the generated chart of a job has this value", Job: "the generated chart of a job has no such value"}[c.workload]
		}
	}
	c.found = append(c.found, p)
}

func (c *checker) integer(path []any, s Shape, n float64) {
	switch {
	case n < float64(s.Min):
		c.add(path, "want %d or more, got %v", s.Min, n)
	case s.Max != 0 && n > float64(s.Max):
		c.add(path, "want %d at most, got %v", s.Max, n)
	}
}

func (c *checker) string(path []any, s Shape, text string) {
	switch {
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, text):
		c.add(path, "want %s, got %q", either(s.Enum), text)
	case s.Longest > 0 && utf8.RuneCountInString(text) > s.Longest:
		c.add(path, "want at most %d characters, got %d", s.Longest, utf8.RuneCountInString(text))
	}
}

// either returns the quoted strings as a list, with "or" before the last one.
func either(of []string) string {
	out := ""
	for i, s := range of {
		switch {
		case i > 0 && i == len(of)-1:
			out += " or "
		case i > 0:
			out += ", "
		}
		out += strconv.Quote(s)
	}
	return out
}

// Whole returns a whole number, precise enough to compare it with limits.
func Whole(v any) (float64, bool) {
	var f float64
	switch v := v.(type) {
	case int:
		f = float64(v)
	case int64:
		f = float64(v)
	case uint64:
		f = float64(v)
	case float64:
		f = v
	case json.Number:
		var err error
		if f, err = v.Float64(); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	return f, f == math.Trunc(f)
}

// word returns the name of the type in the language of Pipelinefiles.
func (t Type) word() string {
	switch t {
	case Object:
		return "dict"
	case Array:
		return "list"
	case Integer:
		return "int"
	case Boolean:
		return "bool"
	}
	return string(t)
}

// TypeOf returns the name of the type of plain data in the language of Pipelinefiles.
func TypeOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "dict"
	case []any:
		return "list"
	case string:
		return "string"
	case bool:
		return "bool"
	case float64, json.Number:
		return "float"
	case nil:
		return "None"
	}
	return "int"
}
