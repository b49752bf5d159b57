package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

type readArgs struct {
	Path string `arg:"path" path:"file" help:"a file, relative to the file of the call"`
}

// reader returns a builtin that reads a file and decodes it.
func reader(name, result, doc string, decode func(*Call, []byte) (starlark.Value, error)) *builtins.Func {
	return define(name, result, doc+" The file is an input of the plan.",
		func(c *Call, a *readArgs) (starlark.Value, error) {
			file, p := c.resolve(a.Path)
			if p != nil {
				return nil, c.Reject("path", p)
			}
			data, err := c.Session.Files.Read(file, plan.InputFile)
			if bound(err) {
				return nil, err
			}
			if err != nil {
				return nil, c.Reject("path", c.Session.Files.problem(file, err))
			}
			v, err := decode(c, data)
			if bound(err) {
				return nil, err
			}
			if err != nil {
				return nil, c.Reject("path", explain.Errorf("%s: %v", file, err))
			}
			return v, nil
		})
}

var (
	readFileFunc = reader("read_file", "str", "Returns the text of a file.", func(c *Call, data []byte) (starlark.Value, error) {
		if !utf8.Valid(data) {
			return nil, fmt.Errorf("it is not valid UTF-8")
		}
		if err := c.Session.Meter.Make(len(data)); err != nil {
			return nil, err
		}
		return starlark.String(data), nil
	})
	readJSONFunc = reader("read_json", "value", "Returns the content of a JSON file.", decodeJSON)
	readYAMLFunc = reader("read_yaml", "value", "Returns the content of a YAML file, or of its first document.", decodeYAML)
	readTOMLFunc = reader("read_toml", "dict", "Returns the content of a TOML file; dates are strings.", decodeTOML)
)

// bound reports whether an error is that of a limit or of the context, which ends the
// evaluation.
func bound(err error) bool {
	return errors.Is(err, bounded.ErrSteps) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func decodeJSON(c *Call, data []byte) (starlark.Value, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("it is not valid UTF-8")
	}
	if err := decodable(c.Session.Meter, data); err != nil {
		return nil, err
	}
	decode := starjson.Module.Members["decode"].(*starlark.Builtin)
	return bounded.Await(c.Session.Meter, len(data), func() (starlark.Value, error) {
		return decode.CallInternal(c.Thread, starlark.Tuple{starlark.String(data)}, nil)
	})
}

// decodeYAML goes through JSON, which keeps integers integers.
func decodeYAML(c *Call, data []byte) (starlark.Value, error) {
	if err := c.Session.Meter.Charge(parseSize * uint64(len(data))); err != nil {
		return nil, err
	}
	if err := shallow(data); err != nil {
		return nil, err
	}
	// A separate variable: a decoder that was not awaited to its end still reads data.
	text, err := bounded.Await(c.Session.Meter, len(data), func() ([]byte, error) { return yamlJSON(data, false) })
	if err != nil {
		return nil, err
	}
	return decodeJSON(c, text)
}

func decodeTOML(c *Call, data []byte) (starlark.Value, error) {
	if err := c.Session.Meter.Charge(tomlSize * uint64(len(data))); err != nil {
		return nil, err
	}
	if err := c.Session.Meter.Charge(dottedSteps(data)); err != nil {
		return nil, err
	}
	if err := shallow(data); err != nil {
		return nil, err
	}
	text, err := bounded.Await(c.Session.Meter, len(data), func() ([]byte, error) {
		var v map[string]any
		if err := toml.Unmarshal(data, &v); err != nil {
			return nil, err
		}
		return json.Marshal(datesAsText(v))
	})
	if err != nil {
		return nil, err
	}
	return decodeJSON(c, text)
}

// dottedSteps returns the cost of dotted keys in a TOML document: for each part, the
// decoder visits all parts before it. Numbers and the contents of strings are counted as
// keys, too.
func dottedSteps(data []byte) (steps uint64) {
	dots := uint64(0)
	for _, c := range data {
		switch c {
		case '.':
			dots++
		case '\n', '=', ',', '{', '[', ']':
			if dots > 8 {
				steps += 32 * dots * dots
			}
			dots = 0
		}
	}
	if dots > 8 {
		steps += 32 * dots * dots
	}
	return steps
}

// datesAsText replaces dates and times with their TOML form as a string.
func datesAsText(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = datesAsText(e)
		}
	case []map[string]any:
		for _, e := range v {
			datesAsText(e)
		}
	case []any:
		for i, e := range v {
			v[i] = datesAsText(e)
		}
	case time.Time:
		// The library marks times without a zone by the name of the location.
		switch v.Location().String() {
		case "date-local":
			return v.Format(time.DateOnly)
		case "time-local":
			return v.Format("15:04:05.999999999")
		case "datetime-local":
			return v.Format("2006-01-02T15:04:05.999999999")
		}
	}
	return v
}

type yamlDecodeArgs struct {
	Text string `arg:"text" help:"a YAML document"`
}

var yamlDecodeFunc = define("yaml.decode", "value", "Returns the value of a YAML string, or of its first document.",
	func(c *Call, a *yamlDecodeArgs) (starlark.Value, error) {
		v, err := decodeYAML(c, []byte(a.Text))
		if bound(err) {
			return nil, err
		}
		if err != nil {
			return nil, c.Reject("text", explain.Errorf("%v", err))
		}
		return v, nil
	})

type yamlEncodeArgs struct {
	Value starlark.Value `arg:"value" help:"dicts with strings as keys, lists, strings, numbers, True, False, None"`
}

var yamlEncodeFunc = define("yaml.encode", "str", "Returns a value as YAML, with sorted keys.",
	func(c *Call, a *yamlEncodeArgs) (starlark.Value, error) {
		// It writes JSON, parses it, and writes it again with indentation.
		n, err := c.Session.Meter.TextSize(a.Value)
		if err == nil {
			err = c.Session.Meter.Charge(parseSize * uint64(n))
		}
		if err != nil {
			return nil, err
		}
		v, p := toData(a.Value, 0)
		if p != nil {
			return nil, c.Reject("value", p)
		}
		data, err := bounded.Await(c.Session.Meter, n, func() ([]byte, error) { return yaml.Marshal(v) })
		if bound(err) {
			return nil, err
		}
		if err != nil {
			return nil, c.Reject("value", explain.Errorf("%v", err))
		}
		if err := c.Session.Meter.Fits(len(data)); err != nil {
			return nil, err
		}
		return starlark.String(data), nil
	})

// maxNesting is the maximum nesting depth of values.
const maxNesting = 100

// toData copies v as plain data that JSON can represent.
func toData(v starlark.Value, depth int) (any, *explain.Error) { return toDataWith(v, depth, nil) }

// dataOfDict copies a dict as plain data, with leaf as for toDataWith; an empty one is nil.
func dataOfDict(v starlark.Value, leaf func(starlark.Value) any) (map[string]any, error) {
	if d, ok := v.(*starlark.Dict); ok && d.Len() == 0 {
		return nil, nil
	}
	data, p := toDataWith(v, 0, leaf)
	if p != nil {
		return nil, p
	}
	m, ok := data.(map[string]any)
	if !ok {
		return nil, convert.Want("dict", v)
	}
	return m, nil
}

// toDataWith is toData for values for which leaf, if it is not nil, may return another
// value.
func toDataWith(v starlark.Value, depth int, leaf func(starlark.Value) any) (any, *explain.Error) {
	if depth > maxNesting {
		return nil, explain.Errorf("is nested deeper than %d", maxNesting)
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.String:
		return string(v), convert.Text(string(v))
	case starlark.Int:
		n, ok := v.Int64()
		if !ok {
			return nil, explain.Errorf("%s is too large", explain.Clip(v.String()))
		}
		return n, nil
	case starlark.Float:
		if v-v != 0 {
			return nil, explain.Errorf("%s is not a number", v)
		}
		return float64(v), nil
	case *starlark.Dict:
		m := make(map[string]any, v.Len())
		p := convert.Entries(v, "dict", func(k string, v starlark.Value) *explain.Error {
			var p *explain.Error
			m[k], p = toDataWith(v, depth+1, leaf)
			return p
		})
		return m, p
	case *starlark.List, starlark.Tuple, *starlark.Set:
		list, _ := convert.List(v, "list")
		out := make([]any, len(list))
		for i, e := range list {
			var p *explain.Error
			if out[i], p = toDataWith(e, depth+1, leaf); p != nil {
				return nil, p.In(i)
			}
		}
		return out, nil
	}
	if leaf != nil {
		if out := leaf(v); out != nil {
			return out, nil
		}
	}
	return nil, convert.Want("str, int, float, bool, None, list or dict", v)
}
