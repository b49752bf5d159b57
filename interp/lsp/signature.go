package lsp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	vocabulary "github.com/pipelinefile/pipe/internal/builtins"
)

// A call is the signature of a function: of a builtin from its declaration
// (L8), of a def from its source and docstring.
type call struct {
	label  string // "port(number, *, name=None) -> port"
	params []param
}

// A param is one parameter of a function.
type param struct {
	name       string
	typ        string
	def        string // Starlark source; empty: none
	help       string
	choices    []string
	path       string // what a path relative to the file leads to: "file" or "directory"; empty: it is not a path
	keyword    bool
	variadic   bool
	required   bool
	start, end int // in the label
}

// detail is the type and the default, such as `int = 1`.
func (p param) detail() string {
	out := p.typ
	if p.def != "" {
		out = strings.TrimSpace(out + " = " + p.def)
	}
	return out
}

func (p param) doc() *markup {
	if p.help == "" {
		return nil
	}
	return markdown(p.help)
}

// takesStage reports whether the parameter takes a stage name.
func (p param) takesStage() bool { return p.typ == "stage | str" }

// parameter returns the parameter for an argument: by name, or else by
// position; nil if there is none.
func (c call) parameter(arg int, keyword string) *param {
	for i, p := range c.params {
		switch {
		case keyword != "":
			if p.name == keyword && !p.variadic {
				return &c.params[i]
			}
		case p.variadic && !strings.HasPrefix(p.name, "*") && arg >= i, i == arg && !p.keyword && !p.variadic:
			return &c.params[i]
		}
	}
	return nil
}

func (f *function) name() string {
	if f.builtin != nil {
		return f.builtin.Name
	}
	return f.def.Name.Name
}

// signature returns the signature of the function.
func (f *function) signature() call {
	if f.builtin != nil {
		return ofBuiltin(f.builtin)
	}
	return ofDef(f.mod, f.def)
}

func ofBuiltin(b *builtins.Func) call {
	list := make([]param, len(b.Params))
	for i, p := range b.Params {
		list[i] = param{
			name: p.Name, typ: p.Type, def: p.Default, help: p.Help, choices: p.Choices,
			path: p.Tag.Get("path"), keyword: p.Keyword, variadic: p.Variadic, required: p.Required(),
		}
	}
	c := write(b.Name, list)
	if b.Result != "None" {
		c.label += " -> " + b.Result
	}
	return c
}

func ofDef(m *module, def *syntax.DefStmt) call {
	help := docArgs(vocabulary.Docstring(def.Body))
	var list []param
	keyword := false
	for _, x := range def.Params {
		id, value := paramOf(x)
		if u, ok := x.(*syntax.UnaryExpr); ok {
			if u.Op == syntax.STAR {
				keyword = true
			}
			if id == nil {
				continue
			}
			name := id.Name
			if u.Op == syntax.STARSTAR {
				name = "*" + name
			}
			list = append(list, param{name: name, variadic: true, help: help[id.Name]})
			continue
		}
		p := param{name: id.Name, keyword: keyword, required: value == nil, help: help[id.Name]}
		if value != nil {
			start, end := m.text.node(value)
			p.def = short(m.text.data[start:end])
		}
		list = append(list, p)
	}
	return write(def.Name.Name, list)
}

// short returns the first line of a text, cut to fit a label.
func short(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if n := runes(line, 60); n < len(line) {
		line, more = line[:n], true
	}
	if more {
		line = strings.TrimSpace(line) + "…"
	}
	return line
}

// write builds the label and records the ranges of the parameters in it.
func write(name string, list []param) call {
	var b strings.Builder
	b.WriteString(name + "(")
	star := false
	for i := range list {
		p := &list[i]
		if i > 0 {
			b.WriteString(", ")
		}
		switch {
		case p.variadic:
			star = true
		case p.keyword && !star:
			b.WriteString("*, ")
			star = true
		}
		p.start = b.Len()
		if p.variadic {
			b.WriteString("*")
		}
		b.WriteString(p.name)
		if p.def != "" {
			b.WriteString("=" + p.def)
		}
		p.end = b.Len()
	}
	b.WriteString(")")
	return call{b.String(), list}
}

// doc returns what the function is for.
func (f *function) doc() *markup {
	text := ""
	if f.builtin != nil {
		text = f.builtin.Doc
	} else {
		text = vocabulary.Docstring(f.def.Body)
	}
	if text == "" {
		return nil
	}
	return markdown(text)
}

// docArgs returns the descriptions of the parameters in a docstring: the lines
// below "Args:", each "name: text", with the continuation lines, which are
// indented deeper.
func docArgs(doc string) map[string]string {
	out := map[string]string{}
	in, name, indent := false, "", -1
	for line := range strings.Lines(doc) {
		trimmed := strings.TrimSpace(line)
		depth := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case trimmed == "Args:":
			in, indent = true, -1
			continue
		case !in || trimmed == "":
			continue
		case depth == 0:
			in = false
			continue
		}
		if indent < 0 {
			indent = depth
		}
		head, text, ok := strings.Cut(trimmed, ":")
		head = strings.TrimLeft(head, "*")
		head, _, _ = strings.Cut(head, " ") // name (type): text
		if ok && depth == indent && isName(head) {
			name = head
			out[name] = strings.TrimSpace(text)
		} else if name != "" {
			out[name] += " " + trimmed
		}
	}
	return out
}

func (s *server) signatureHelp(ctx context.Context, p positionParams) (any, error) {
	m, off, err := s.here(ctx, p)
	if err != nil {
		return nil, err
	}
	sc := scan{data: m.text.data}
	sc.to(off)
	fr, _ := sc.call()
	if fr == nil || sc.inComment {
		return nil, nil
	}
	fn := s.called(ctx, m, off, fr.callee)
	if fn == nil {
		return nil, nil
	}
	c := fn.signature()
	sig := signature{Label: c.label, Documentation: fn.doc(), Parameters: []parameter{}}
	for _, p := range c.params {
		about := p.help
		if p.typ != "" {
			about = strings.TrimSpace(fmt.Sprintf("`%s` %s", p.typ, p.help))
		}
		sp := parameter{Label: [2]int{utf16Count(c.label[:p.start]), utf16Count(c.label[:p.end])}}
		if about != "" {
			sp.Documentation = markdown(about)
		}
		sig.Parameters = append(sig.Parameters, sp)
	}
	help := signatureHelp{Signatures: []signature{sig}}
	if active := c.parameter(fr.arg, fr.keyword); active != nil {
		i := slices.IndexFunc(c.params, func(p param) bool { return p.name == active.name })
		help.ActiveParameter = &i
	}
	return help, nil
}
