package builtins

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Missing is a parameter that has neither value nor default.
type Missing struct {
	Name, Type, Help string
	Pos              plan.Pos
}

type paramArgs struct {
	Name    string         `arg:"name" help:"as given with --set NAME=VALUE or in a parameter file"`
	Default starlark.Value `arg:"default,kw" default:"None" type:"str | int | bool | float" help:"the value if none is given; without a default, a value is required"`
	Type    string         `arg:"type,kw" default:"\"string\"" choices:"string|int|bool|float" help:"string, int, bool or float"`
	Choices choices        `arg:"choices,kw" default:"None" help:"the values that are possible"`
	Help    string         `arg:"help,kw" default:"\"\"" help:"what the parameter is for"`
}

type choices []starlark.Value

func (choices) TypeName() string { return "list[str | int | bool | float]" }

// Unpack accepts a list.
func (c *choices) Unpack(v starlark.Value) error {
	list, p := convert.List(v, "list")
	if p == nil && len(list) == 0 {
		p = explain.Errorf("is empty, so no value is possible")
	}
	if p != nil {
		return p
	}
	*c = slices.Clone(list)
	return nil
}

var paramFunc = declare("param", "str | int | bool | float", "Declares a parameter of the pipeline and returns its value.",
	func(c *Call, a *paramArgs) (starlark.Value, error) {
		s := c.Session
		if c.Valid("name") && (len(a.Name) > maxRef || !paramName.fits(a.Name)) {
			c.wrong("name", explain.Errorf("%q is not a valid parameter name", explain.Clip(a.Name)).WithHint("letters, digits, '-', '_' and '.', a letter first"))
		}
		if p := c.choice("type", a.Type); p != nil {
			if alias := map[string]string{"str": "string", "integer": "int", "boolean": "bool", "number": "float"}[a.Type]; alias != "" {
				p.Suggest = alias
			}
			c.wrong("type", p)
			return starlark.String(""), nil
		}
		var possible []string
		for i, v := range a.Choices {
			text, p := paramText(a.Type, v)
			if p != nil {
				c.wrong("choices", p.In(i))
				continue
			}
			possible = append(possible, text)
		}
		if a.Default != nil {
			_, p := paramText(a.Type, a.Default)
			if p == nil && c.Valid("choices") {
				p = a.chosen(a.Default)
			}
			c.wrong("default", p)
		}
		if first, twice := s.params[a.Name]; twice {
			c.reject(c.Pos(), explain.Errorf("parameter %q is already declared", a.Name), plan.Related{Pos: first, Message: "declared here"})
			return a.standIn(), nil
		}
		v, ok := c.value(a)
		if c.Valid("name") {
			p := plan.Param{Name: a.Name, Type: a.Type, Choices: possible, Pos: c.Pos()}
			_, given := s.Values[a.Name]
			p.Default = !given
			p.Value, _ = paramText(a.Type, v)
			s.keep()
			s.Params, s.params[a.Name] = append(s.Params, p), p.Pos
			if !ok && !given && !s.StandIns {
				s.Missing = append(s.Missing, Missing{Name: a.Name, Type: a.Type, Help: a.Help, Pos: p.Pos})
			}
		}
		return v, nil
	})

// value returns the value of the parameter. If it has none, it returns a stand-in with
// which evaluation can continue, and false.
func (c *Call) value(a *paramArgs) (starlark.Value, bool) {
	text, given := c.Session.Values[a.Name]
	if !given {
		if a.Default == nil || !c.Valid("default") {
			return a.standIn(), !c.Valid("default")
		}
		if f, ok := a.Default.(starlark.Int); ok && a.Type == "float" {
			return f.Float(), true
		}
		return a.Default, true
	}
	v, p := parseParam(a.Type, text)
	if p == nil && c.Valid("choices") {
		p = a.chosen(v)
	}
	if p != nil {
		p.Msg = fmt.Sprintf("the value of %q: %s", a.Name, p.Msg)
		c.reject(c.Pos(), p)
		return a.standIn(), false
	}
	return v, true
}

// standIn returns a stand-in of the parameter's type that is likely to be accepted
// anywhere.
func (a *paramArgs) standIn() starlark.Value {
	if len(a.Choices) > 0 {
		return a.Choices[0]
	}
	switch a.Type {
	case "int":
		return starlark.MakeInt(1)
	case "bool":
		return starlark.False
	case "float":
		return starlark.Float(1)
	}
	return starlark.String(a.Name)
}

func (a *paramArgs) chosen(v starlark.Value) *explain.Error {
	if len(a.Choices) == 0 {
		return nil
	}
	got, p := paramText(a.Type, v)
	if p != nil {
		return p
	}
	var names, quoted []string
	for _, ch := range a.Choices {
		text, _ := paramText(a.Type, ch)
		if text == got {
			return nil
		}
		names, quoted = append(names, text), append(quoted, ch.String())
	}
	return explain.Errorf("%q is not among its choices: %s", explain.Clip(got), strings.Join(quoted, ", ")).Near(got, names, "")
}

// paramText returns v, which must be of the type, as a string.
func paramText(typ string, v starlark.Value) (string, *explain.Error) {
	ok := false
	switch v := v.(type) {
	case starlark.String:
		ok = typ == "string"
	case starlark.Int:
		ok = typ == "int" || typ == "float"
	case starlark.Bool:
		ok = typ == "bool"
	case starlark.Float:
		ok = typ == "float"
	case *Secret:
		return "", convert.Want(typ, v)
	}
	if !ok {
		p := explain.Errorf("want %s, got %s", typ, v.Type())
		if t := map[string]string{"int": "int", "bool": "bool", "float": "float", "string": "string"}[v.Type()]; t != "" {
			p.Hint = fmt.Sprintf("say so with type = %q", t)
		}
		if text, ok := v.(starlark.String); ok {
			if same, wrong := parseParam(typ, string(text)); wrong == nil {
				p.Hint = fmt.Sprintf("write %s without quotes", same)
			}
		}
		return "", p
	}
	return convert.Scalar(v)
}

func parseParam(typ, text string) (starlark.Value, *explain.Error) {
	switch typ {
	case "int":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, explain.Errorf("want int, got %q", explain.Clip(text))
		}
		return starlark.MakeInt64(n), nil
	case "float":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f-f != 0 {
			return nil, explain.Errorf("want float, got %q", explain.Clip(text))
		}
		return starlark.Float(f), nil
	case "bool":
		switch strings.ToLower(text) {
		case "true", "yes", "on", "1":
			return starlark.True, nil
		case "false", "no", "off", "0":
			return starlark.False, nil
		}
		return nil, explain.Errorf("want bool, got %q", explain.Clip(text)).WithHint("write true or false")
	}
	return starlark.String(text), nil
}
