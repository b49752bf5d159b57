package builtins

import (
	"fmt"
	"regexp"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
)

// sections maps the first function of each group in the reference to the heading of the
// group.
var sections = map[string]string{
	"pipeline": "The pipeline", "stage": "Stages", "application": "Services", "local": "Sources, builds, charts",
	"port": "Parts of services", "param": "Parameters", "read_file": "Files and texts", "warn": "Messages",
	"struct": "Values", "json.encode": "Libraries", "plan": "Tests",
}

// aboutTests introduces the functions of tests.
const aboutTests = `
Only files ` + "`*_test.star`" + ` have these, and only ` + "`pipe test`" + ` runs them: each of their functions ` + "`test_*`" + ` in an evaluation of its own.
Assertions are in ` + "`@std//testing.star`" + `.
`

// Reference returns the reference page of all names that a Pipelinefile can use, as
// Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# What a Pipelinefile sees

This page lists every name that a Pipelinefile can use. It is written by ` + "`make generate`" + `.

A Pipelinefile is [Starlark](https://github.com/bazelbuild/starlark/blob/master/spec.md): a small, deterministic Python. Sets,
` + "`if` and `for`" + ` at the top of a file and reassigning a name are possible; ` + "`while`" + `, recursion, classes and exceptions are not.
Parameters after ` + "`*`" + ` are given by name. A parameter with the default ` + "`None`" + ` takes ` + "`None`" + `, too.
Paths are relative to the file with the call, and do not leave the workspace: the directory of the Pipelinefile, or the git
repository around it. For a call in a library, such as ` + "`@std`" + `, it is the file that called the library.
`)
	for _, f := range Available(TestSuffix) {
		if title := sections[f.Name]; title != "" {
			fmt.Fprintf(&b, "\n## %s\n", title)
		}
		if f == tests[0] {
			b.WriteString(aboutTests)
		}
		reference(&b, f)
	}
	b.WriteString("\n## Names\n\n| name | type | |\n| --- | --- | --- |\n")
	for _, n := range Names() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", n.Name, n.Type, n.Doc)
	}
	b.WriteString("| `math.e`, `math.pi` | float | The numbers. |\n")
	b.WriteString("\n## Types\n")
	for _, t := range types {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n", t.Name, t.Doc)
		if len(t.Attrs) > 0 {
			b.WriteString("\n| attribute | type | |\n| --- | --- | --- |\n")
		}
		for _, a := range t.Attrs {
			fmt.Fprintf(&b, "| `.%s` | %s | %s |\n", a.Name, cell(a.Type), a.Doc)
		}
	}
	b.WriteString("\n## From Starlark itself\n\n")
	for i, name := range starlark.Universe.Keys() {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "`%s`", name)
	}
	b.WriteString(" `load`\n")
	return b.String()
}

func reference(b *strings.Builder, f *builtins.Func) {
	fmt.Fprintf(b, "\n### %s\n\n```python\n%s", f.Name, wrapped(f.Signature()))
	if f.Result != "None" {
		fmt.Fprintf(b, " -> %s", f.Result)
	}
	fmt.Fprintf(b, "\n```\n\n%s\n", f.Doc)
	if len(f.Params) == 0 {
		return
	}
	b.WriteString("\n| parameter | type | default | |\n| --- | --- | --- | --- |\n")
	for _, p := range f.Params {
		name, def := p.Name, "required"
		if p.Variadic {
			name, def = "*"+p.Name, ""
		} else if p.Default != "" {
			def = "`" + p.Default + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, cell(p.Type), def, cell(p.Help))
	}
}

// cell escapes a string for a table.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "<", `\<`).Replace(s) }

// wrapped breaks a long signature after its commas.
func wrapped(s string) string {
	var b strings.Builder
	width := 0
	for i, part := range strings.SplitAfter(s, ", ") {
		if i > 0 && width+len(part) > 100 {
			b.WriteString("\n    ")
			width = 4
		}
		b.WriteString(part)
		width += len(part)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

// stubType returns a type as Python knows it: ours are classes with a capital.
func stubType(t string) string {
	return regexp.MustCompile(`[a-z_]+`).ReplaceAllStringFunc(t, func(w string) string {
		switch w {
		case "value", "struct":
			return "Any"
		case "str", "int", "bool", "float", "list", "dict":
			return w
		}
		return strings.ToUpper(w[:1]) + w[1:]
	})
}

// Stubs returns all names as Python type stubs, for editors.
func Stubs() string {
	var b strings.Builder
	b.WriteString("# What a Pipelinefile sees, for editors. Made from the code by \"make generate\"; do not edit.\n\nfrom typing import Any, Callable\n")
	for _, t := range types {
		fmt.Fprintf(&b, "\nclass %s:\n    \"\"\"%s\"\"\"\n", stubType(t.Name), t.Doc)
		for _, a := range t.Attrs {
			fmt.Fprintf(&b, "    %s: %s\n    \"\"\"%s\"\"\"\n", a.Name, stubType(a.Type), a.Doc)
		}
	}
	b.WriteString("\n")
	for _, n := range Names() {
		fmt.Fprintf(&b, "%s: %s\n\"\"\"%s\"\"\"\n", n.Name, stubType(n.Type), n.Doc)
	}
	b.WriteString("\ndef load(module: str, *names: str, **renamed: str) -> None: ...\n")
	library := ""
	for _, f := range Available(TestSuffix) {
		if f == tests[0] {
			b.WriteString("\n# Only files *_test.star have what follows, and only \"pipe test\" runs them.\n")
		}
		if lib, _, ok := strings.Cut(f.Name, "."); ok {
			if lib != library {
				fmt.Fprintf(&b, "\nclass %s:\n", lib)
				if lib == "math" {
					b.WriteString("    e: float\n    pi: float\n")
				}
			}
			library = lib
			b.WriteString("    @staticmethod\n")
			stub(&b, f, "    ")
			continue
		}
		library = ""
		b.WriteString("\n")
		stub(&b, f, "")
	}
	return b.String()
}

func stub(b *strings.Builder, f *builtins.Func, indent string) {
	_, name, ok := strings.Cut(f.Name, ".")
	if !ok {
		name = f.Name
	}
	var params strings.Builder
	f.WriteParams(&params, func(p builtins.Param) {
		params.WriteString(p.Name + ": " + stubType(p.Type))
		switch {
		case p.Default == "None":
			params.WriteString(" | None = None")
		case p.Default != "":
			params.WriteString(" = " + p.Default)
		}
	})
	fmt.Fprintf(b, "%sdef %s(%s) -> %s:\n", indent, name, params.String(), stubResult(f.Result))
	fmt.Fprintf(b, "%s    \"\"\"%s\n", indent, f.Doc)
	if len(f.Params) > 0 {
		fmt.Fprintf(b, "\n%s    Args:\n", indent)
		for _, p := range f.Params {
			fmt.Fprintf(b, "%s        %s: %s\n", indent, p.Name, p.Help)
		}
	}
	fmt.Fprintf(b, "%s    \"\"\"\n", indent)
}

func stubResult(t string) string {
	if t == "None" {
		return t
	}
	return stubType(t)
}
