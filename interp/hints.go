package interp

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// resolveHint returns what to write instead of what the resolver refuses.
func resolveHint(msg string) string {
	switch {
	case msg == noWhile:
		return "write for i in range(n): … with break"
	case strings.HasPrefix(msg, "return statement not within"):
		return "return belongs into a function; fail(…) ends evaluation"
	case strings.HasPrefix(msg, "load statement within"):
		return "load(…) stands at the top of the file, outside of if, for and def"
	case strings.Contains(msg, "leading underscores are not exported"):
		return "a name that starts with _ belongs to its module"
	case strings.Contains(msg, "not in a loop"):
		return "break and continue belong into a for"
	case strings.HasPrefix(msg, "required parameter may not follow"):
		return "parameters with a default come last"
	case strings.HasPrefix(msg, "duplicate parameter"), strings.HasPrefix(msg, "keyword argument") && strings.HasSuffix(msg, "is repeated"):
		return "each name stands once"
	case strings.HasPrefix(msg, "positional argument may not follow named"):
		return "arguments without a name come first"
	}
	return ""
}

// noWhile is what the resolver says of while, as an author knows it.
const noWhile = `there is no "while"`

// plainTypes are the types whose methods other languages have under other names.
var plainTypes = []string{"string", "bytes", "list", "tuple", "dict", "set", "int", "float"}

var (
	noAttr    = regexp.MustCompile(`^(?:"?(\w+)"? struct|(\w+)) has no \.(\w+) (?:field or method|attribute)$`)
	noKeyword = regexp.MustCompile(`^function (\w+) got an unexpected keyword argument "?(\w+)"?$`)
	noExport  = regexp.MustCompile(`^load: name (\w+) not found in module (.+)$`)
)

// runtimeHint returns what to do about a message of the interpreter, or what was
// probably meant.
func (e *evaluation) runtimeHint(d *plan.Diagnostic) (hint, suggest string) {
	msg := d.Message
	if m := noAttr.FindStringSubmatch(msg); m != nil {
		switch m[2] {
		case "NoneType":
			return "the value is None: does a function end without return?", ""
		case "function", "builtin_function_or_method":
			if slices.Contains(e.attrs("string"), m[3]) {
				return "it belongs to a value: write text." + m[3] + "(…)", ""
			}
			return "call it first: name(…)", ""
		case "module":
			return foreignMembers[m[3]], ""
		}
		if hint, ok := foreignMethods[m[3]]; ok && slices.Contains(plainTypes, m[2]) {
			return hint, ""
		}
		names := e.attrs(m[1] + m[2])
		other := ""
		if m[2] == "dict" {
			other = fmt.Sprintf("an entry is dict[%q]", m[3])
		} else if len(names) > 0 && len(names) < 10 {
			other = "it has " + strings.Join(prefixed(".", names), ", ")
		}
		return other, explain.Nearest(m[3], names)
	}
	if m := noKeyword.FindStringSubmatch(msg); m != nil {
		for _, name := range e.session.Sources() {
			if params := e.session.Source(name).Params(m[1]); len(params) > 0 {
				return "it takes " + strings.Join(params, ", "), explain.Nearest(m[2], params)
			}
		}
	}
	if m := noExport.FindStringSubmatch(msg); m != nil {
		return e.exported(d.Pos.File, m[1], m[2])
	}
	for _, s := range runtimeHints {
		if s.when.MatchString(msg) {
			return s.hint, ""
		}
	}
	return "", ""
}

// runtimeHints are what to do about messages of the interpreter; the first that
// fits counts.
var runtimeHints = []struct {
	when *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`frozen`), "what a module defines cannot be changed after it was loaded: make a copy, such as dict(d) or list(l)"},
	{regexp.MustCompile(`called recursively`), "a function cannot call itself: use a for"},
	{regexp.MustCompile(`^unknown binary op: (NoneType .*|.* NoneType)$`), "one side is None: does a function end without return?"},
	{regexp.MustCompile(`^unknown binary op: (string \+ .*|.* \+ string)$`), `text is joined with text: write "…%s" % value, or str(value)`},
	{regexp.MustCompile(`^unknown binary op: (string \* .*|.* \* string)$`), `text is repeated by a number: write "a" * 3`},
	{regexp.MustCompile(`^unknown binary op: string - `), `nothing is subtracted from text: write text.replace("…", "") or text.removesuffix("…")`},
	{regexp.MustCompile(`^unknown binary op: dict \+ `), "dicts are joined with |"},
	{regexp.MustCompile(`^unknown binary op: set \+ `), "sets are joined with |"},
	{regexp.MustCompile(`^unknown binary op: (list \+|.* \+ list$)`), "a list is joined with a list: write list(x), or [x]"},
	{regexp.MustCompile(`during iteration`), "loop over a copy, such as list(x)"},
	{regexp.MustCompile(`string value is not iterable`), "write text.elems() for its characters, text.splitlines() for its lines"},
	{regexp.MustCompile(`^int value is not iterable`), "write range(n)"},
	{regexp.MustCompile(`^(function|builtin_function_or_method) value is not iterable`), "call it: write name(…)"},
	{regexp.MustCompile(`has no len$`), "text, lists, tuples, dicts and sets have one"},
	{regexp.MustCompile(`(list|tuple|string) index -?\d+ out of range`), "the first is [0] and the last [-1]: look at len(x) before"},
	{regexp.MustCompile(`^unhandled index operation (struct|service|stage|port|plan)`), "an attribute is written value.name"},
	{regexp.MustCompile(`^argument after \*\* must be a mapping`), "** takes a dict, * a list"},
	{regexp.MustCompile(`^int: invalid literal`), "look before with text.isdigit()"},
	{regexp.MustCompile(`^(max|min): argument is an empty sequence`), "look before: write max(x) if x else 0"},
	{regexp.MustCompile(`^got \w+ in sequence assignment`), "a dict gives its keys alone: write d.items() for keys with values"},
	{regexp.MustCompile(`referenced before assignment`), "a function that assigns to a name has one of its own"},
	{regexp.MustCompile(`^key .* not in dict`), "d.get(key, default) returns a default"},
	{regexp.MustCompile(`^invalid call of non-function`), "is a comma missing before the bracket, or has a name of a function another value?"},
	{regexp.MustCompile(`^unhashable type`), "a key is text, a number, None, or a tuple of these: write tuple(list)"},
	{regexp.MustCompile(` (<|>|<=|>=) .* not implemented$`), "both sides have one type: such as int(text) or str(number)"},
	{regexp.MustCompile(`^can't assign to \.\w+ field of service`), "give it in the call that declares the service"},
	{regexp.MustCompile(`^can't assign to \.\w+ field of`), "such a value does not change: make another"},
	{regexp.MustCompile(`^string value does not support item assignment`), "text does not change: make another"},
	{regexp.MustCompile(`^tuple value does not support item assignment`), "a tuple does not change: write a list, [1, 2]"},
	{regexp.MustCompile(`^unknown conversion %\.|^format spec features not supported`), `there is no such format; for two decimal places: n = int(math.round(x * 100)), then "%d.%s" % (n // 100, ("0" + str(n % 100))[-2:])`},
	{regexp.MustCompile(`^unknown conversion %[0-9+\- #]`), "there are no widths: write %s or %d; \" \" * (n - len(text)) + text fills up"},
	{regexp.MustCompile(`^not enough arguments for format`), `each %s takes one: write "%s %s" % (a, b)`},
	{regexp.MustCompile(`^too many arguments for format`), `each value takes one %s: write "%s %s" % (a, b)`},
	{regexp.MustCompile(`^format: (tuple index out of range|keyword \w+ not found)`), `each {} takes a value, each {name} one given by its name: write "{} {name}".format(a, name = b)`},
	{regexp.MustCompile(`^%[dioxX] format requires integer`), "write %s, or int(text)"},
}

// attrs returns the attributes of values of a type, or of a library.
func (e *evaluation) attrs(typ string) []string {
	for _, t := range builtins.Types() {
		if t.Name == typ {
			var names []string
			for _, a := range t.Attrs {
				names = append(names, a.Name)
			}
			return names
		}
	}
	if m, ok := e.env[typ].(*starlarkstruct.Module); ok {
		return m.Members.Keys()
	}
	for _, v := range []starlark.HasAttrs{starlark.String(""), starlark.Bytes(""), new(starlark.List), new(starlark.Dict), new(starlark.Set)} {
		if v.Type() == typ {
			return v.AttrNames()
		}
	}
	return nil
}

// exported returns the hint for a name that the module, as file calls it, does not
// have, and what was probably meant.
func (e *evaluation) exported(file, name, module string) (hint, suggest string) {
	from := e.modules[file]
	if from == nil {
		return "", ""
	}
	src, err := e.find(from.src, module)
	if err != nil || e.modules[src.String()] == nil {
		return "", ""
	}
	names := slices.DeleteFunc(e.modules[src.String()].globals.Keys(), func(n string) bool { return strings.HasPrefix(n, "_") })
	return "it has " + strings.Join(names, ", "), explain.Nearest(name, names)
}
