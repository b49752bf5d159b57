// Package doc looks up the documentation of names: builtins, types, modules and
// their functions, and rules of pipe lint.
package doc

import (
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	vocabulary "github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp/lint"
)

// An Entry documents one name. Its JSON form is documented.
type Entry struct {
	Name      string      `json:"name"`
	Kind      Kind        `json:"kind"`
	Summary   string      `json:"summary,omitempty"`
	Signature string      `json:"signature,omitempty"` // of a function; for a value, its type
	Text      string      `json:"text,omitempty"`      // Markdown
	Params    []Parameter `json:"params,omitempty"`    // of a builtin
	Attrs     []Parameter `json:"attributes,omitempty"`
	Example   string      `json:"example,omitempty"`
}

// A Parameter is a parameter of a function or an attribute of a value.
type Parameter struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Default string   `json:"default,omitempty"` // of a parameter; empty: required, or variadic
	Choices []string `json:"choices,omitempty"`
	Help    string   `json:"help,omitempty"`
}

// A Kind classifies a name.
type Kind string

// The kinds, in the order of List.
const (
	Builtin  Kind = "builtin"
	Value    Kind = "value"
	Type     Kind = "type"
	OfTests  Kind = "test"     // a builtin that is available only in tests
	Starlark Kind = "starlark" // of Starlark itself
	Module   Kind = "module"
	Function Kind = "function" // of a module
	Rule     Kind = "rule"     // of pipe lint
	Command  Kind = "command"
)

// titles are the headings of the kinds in List.
var titles = []struct {
	kind  Kind
	title string
}{
	{Builtin, "Functions of the language"}, {OfTests, "Functions of tests, in files *_test.star"}, {Value, "Values"}, {Type, "Types, with their attributes"}, {Starlark, "Starlark builtins"},
	{Module, "Modules"}, {Function, "Functions of modules"}, {Rule, "Rules of pipe lint"}, {Command, "Commands"},
}

// Language returns the entries of the names that every Pipelinefile has, and of
// the rules of pipe lint.
func Language() []Entry {
	var out []Entry
	known := map[string]bool{}
	for _, f := range append(vocabulary.Standard(), vocabulary.Described()...) {
		known[f.Name] = true
		out = append(out, ofFunc(f))
	}
	for _, f := range vocabulary.OfTests() {
		e := ofFunc(f)
		e.Kind, e.Text = OfTests, e.Text+"\n\nIt is available only in files *_test.star, which `pipe test` runs."
		out = append(out, e)
	}
	for _, n := range vocabulary.Names() {
		known[n.Name] = true
		out = append(out, Entry{Name: n.Name, Kind: Value, Summary: summary(n.Doc), Signature: n.Name + ": " + n.Type, Text: n.Doc})
	}
	for _, t := range vocabulary.Types() {
		e := Entry{Name: t.Name, Kind: Type, Summary: summary(t.Doc), Text: t.Doc}
		for _, a := range t.Attrs {
			e.Attrs = append(e.Attrs, Parameter{Name: a.Name, Type: a.Type, Help: a.Doc})
		}
		out = append(out, e)
	}
	for _, name := range starlark.Universe.Keys() {
		if !known[name] {
			out = append(out, Entry{
				Name: name, Kind: Starlark, Summary: "A Starlark builtin.",
				Text: "A Starlark builtin: https://github.com/bazelbuild/starlark/blob/master/spec.md",
			})
		}
	}
	for _, r := range lint.Rules() {
		e := Entry{Name: r.Name, Kind: Rule, Summary: r.Summary, Text: r.Summary + "\n\n" + r.Doc}
		if r.Fixes {
			e.Text += "\n\n`pipe lint --fix` fixes it if that cannot change the pipeline."
		}
		out = append(out, e)
	}
	return out
}

func ofFunc(f *builtins.Func) Entry {
	e := Entry{Name: f.Name, Kind: Builtin, Summary: summary(f.Doc), Signature: f.Signature(), Text: f.Doc}
	if f.Result != "None" {
		e.Signature += " -> " + f.Result
	}
	for _, p := range f.Params {
		q := Parameter{Name: p.Name, Type: p.Type, Default: p.Default, Choices: p.Choices, Help: p.Help}
		if p.Variadic {
			q.Name = "*" + p.Name
		}
		e.Params = append(e.Params, q)
	}
	return e
}

// summary returns the first sentence of a text.
func summary(text string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	text = strings.Join(strings.Fields(text), " ")
	if first, _, ok := strings.Cut(text, ". "); ok {
		return first + "."
	}
	return text
}

// Find returns the entries for a name: those with that name; for a library, all
// its functions; for "service.url" or "application.replicas", that attribute or
// parameter.
func Find(entries []Entry, name string) []Entry {
	var out []Entry
	for _, e := range entries {
		if e.Name == name || e.Kind == Command && e.Name == "pipe "+name || e.Kind == Function && afterColon(e.Name) == name {
			out = append(out, e)
		}
	}
	for _, e := range entries {
		if len(out) == 0 && e.Kind == Builtin && strings.HasPrefix(e.Name, name+".") {
			return library(entries, name)
		}
	}
	if of, part, ok := strings.Cut(name, "."); ok && len(out) == 0 {
		for _, e := range entries {
			if e.Name == of && (e.Kind == Builtin || e.Kind == OfTests || e.Kind == Type) {
				out = append(out, partOf(e, part)...)
			}
		}
	}
	return out
}

func library(entries []Entry, name string) []Entry {
	var out []Entry
	for _, e := range entries {
		if strings.HasPrefix(e.Name, name+".") && e.Kind == Builtin {
			out = append(out, e)
		}
	}
	return out
}

// partOf returns the entry of a parameter or an attribute.
func partOf(e Entry, part string) []Entry {
	for _, p := range append(e.Params[:len(e.Params):len(e.Params)], e.Attrs...) {
		if strings.TrimPrefix(p.Name, "*") == part {
			return []Entry{{
				Name: e.Name + "." + part, Kind: e.Kind, Summary: p.Help, Signature: p.Name + ": " + p.Type, Text: p.about(),
			}}
		}
	}
	return nil
}

// Names returns all names that Find finds without reading other files, for
// suggestions and completion.
func Names(entries []Entry) []string {
	var out []string
	for _, e := range entries {
		switch e.Kind {
		case Command:
			out = append(out, strings.TrimPrefix(e.Name, "pipe "))
		case Function:
			out = append(out, afterColon(e.Name), e.Name)
		default:
			out = append(out, e.Name)
		}
	}
	return out
}

// afterColon returns the function of "module:function".
func afterColon(name string) string { return name[strings.LastIndex(name, ":")+1:] }
