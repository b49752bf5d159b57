package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/misspell"
)

// The resolver and the interpreter of Starlark report errors only as strings. The
// messages that are matched here are those of the version of go.starlark.net that
// TestStarlarkVersion names.

// didYouMean matches the end of a message that has a suggestion.
var didYouMean = regexp.MustCompile(` \(did you mean \.?([^?]+)\?\)$`)

// Resolve returns the error for a message of the resolver. For an undefined name it
// suggests the nearest of names. offers has the hints for names that other modules
// define.
func Resolve(msg string, names []string, offers map[string]string) *Error {
	said := didYouMean.FindStringSubmatch(msg)
	if said != nil {
		msg = strings.TrimSuffix(msg, said[0])
	}
	name, undefined := strings.CutPrefix(msg, "undefined: ")
	if strings.Contains(msg, "support while loops") {
		msg = noWhile
	}
	if !undefined {
		return &Error{Msg: msg, Hint: resolveHint(msg)}
	}
	if said != nil {
		return &Error{Msg: msg, Suggest: said[1]}
	}
	if hint, ok := foreignNames[name]; ok {
		return &Error{Msg: msg, Hint: hint}
	}
	if hint, ok := offers[name]; ok {
		return &Error{Msg: msg, Hint: hint}
	}
	return &Error{Msg: msg, Suggest: misspell.Nearest(name, names)}
}

// resolveHint returns what to write instead of what the resolver rejects.
func resolveHint(msg string) string {
	switch {
	case msg == noWhile:
		return "write for i in range(n): … with break"
	case strings.HasPrefix(msg, "return statement not within"):
		return "return belongs into a function; fail(…) ends evaluation"
	case strings.HasPrefix(msg, "load statement within"):
		return "write load(…) at the top level of the file, outside of if, for and def"
	case strings.Contains(msg, "leading underscores are not exported"):
		return "a name that starts with _ belongs to its module"
	case strings.Contains(msg, "not in a loop"):
		return "break and continue belong into a for"
	case strings.HasPrefix(msg, "required parameter may not follow"):
		return "parameters with a default come last"
	case strings.HasPrefix(msg, "duplicate parameter"), strings.HasPrefix(msg, "keyword argument") && strings.HasSuffix(msg, "is repeated"):
		return "each name can be given once"
	case strings.HasPrefix(msg, "positional argument may not follow named"):
		return "arguments without a name come first"
	}
	return ""
}

// noWhile is the message for while, in the author's terms.
const noWhile = `there is no "while"`

// plainTypes are the types whose methods have other names in other languages.
var plainTypes = []string{"string", "bytes", "list", "tuple", "dict", "set", "int", "float"}

var (
	noAttr    = regexp.MustCompile(`^(?:"?(\w+)"? struct|(\w+)) has no \.(\w+) (?:field or method|attribute)$`)
	noKeyword = regexp.MustCompile(`^function (\w+) got an unexpected keyword argument "?(\w+)"?$`)
	noExport  = regexp.MustCompile(`^load: name (\w+) not found in module (.+)$`)
)

// Names provides the names that hints about errors of a program list.
type Names struct {
	Attrs  func(typ string) []string      // the attributes of values of a type, or of a library
	Params func(function string) []string // the parameters of a function of the program
	// Exports returns the names that a module exports, where module is the argument of
	// the load that failed. It reports whether the module exists.
	Exports func(module string) (names []string, ok bool)
}

// Message returns the error for a message of the interpreter, with a hint or a suggestion
// if the message alone does not say what to write instead.
func Message(msg string, of Names) *Error {
	e := &Error{Msg: msg}
	if m := didYouMean.FindStringSubmatch(msg); m != nil {
		e.Msg, e.Suggest = strings.TrimSuffix(msg, m[0]), strings.Trim(m[1], `"`)
		return e
	}
	e.Hint, e.Suggest = runtimeHint(msg, of)
	return e
}

func runtimeHint(msg string, of Names) (hint, suggest string) {
	if m := noAttr.FindStringSubmatch(msg); m != nil {
		return attrHint(m[1]+m[2], m[3], m[1] != "", of)
	}
	if m := noKeyword.FindStringSubmatch(msg); m != nil {
		if params := of.Params(m[1]); len(params) > 0 {
			return "it takes " + strings.Join(params, ", "), misspell.Nearest(m[2], params)
		}
	}
	if m := noExport.FindStringSubmatch(msg); m != nil {
		names, ok := of.Exports(m[2])
		if !ok {
			return "", ""
		}
		return "it has " + strings.Join(names, ", "), misspell.Nearest(m[1], names)
	}
	for _, s := range runtimeHints {
		if s.when.MatchString(msg) {
			return s.hint, ""
		}
	}
	return "", ""
}

// attrHint is the hint about an attribute that values of a type, or of a constructor of
// structs, do not have.
func attrHint(typ, name string, isStruct bool, of Names) (hint, suggest string) {
	if !isStruct {
		switch typ {
		case "NoneType":
			return "the value is None: does a function end without return?", ""
		case "function", "builtin_function_or_method":
			if slices.Contains(of.Attrs("string"), name) {
				return "it belongs to a value: write text." + name + "(…)", ""
			}
			return "call it first: name(…)", ""
		case "module":
			return foreignMembers[name], ""
		}
		if hint, ok := foreignMethods[name]; ok && slices.Contains(plainTypes, typ) {
			return hint, ""
		}
	}
	names := of.Attrs(typ)
	other := ""
	if typ == "dict" && !isStruct {
		other = fmt.Sprintf("an entry is dict[%q]", name)
	} else if len(names) > 0 && len(names) < 10 {
		other = "it has ." + strings.Join(names, ", .")
	}
	return other, misspell.Nearest(name, names)
}

// runtimeHints are hints for messages of the interpreter; the first match applies.
var runtimeHints = []struct {
	when *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`frozen`), "what a module defines cannot be changed after it was loaded: make a copy, such as dict(d) or list(l)"},
	{regexp.MustCompile(`called recursively`), "a function cannot call itself: use a for"},
	{regexp.MustCompile(`^unknown binary op: (NoneType .*|.* NoneType)$`), "one side is None: does a function end without return?"},
	{regexp.MustCompile(`^unknown binary op: (string \+ .*|.* \+ string)$`), `text is joined with text: write "…%s" % value, or str(value)`},
	{regexp.MustCompile(`^unknown binary op: (string \* .*|.* \* string)$`), `text is repeated by a number: write "a" * 3`},
	{regexp.MustCompile(`^unknown binary op: string - `), `strings have no subtraction: write text.replace("…", "") or text.removesuffix("…")`},
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
	{regexp.MustCompile(`^unhashable type`), "a key is a string, a number, None, or a tuple of these: write tuple(list)"},
	{regexp.MustCompile(` (<|>|<=|>=) .* not implemented$`), "both sides have one type: such as int(text) or str(number)"},
	{regexp.MustCompile(`^can't assign to \.\w+ field of service`), "give it in the call that declares the service"},
	{regexp.MustCompile(`^can't assign to \.\w+ field of`), "this value is immutable: make another"},
	{regexp.MustCompile(`^string value does not support item assignment`), "strings are immutable: make another"},
	{regexp.MustCompile(`^tuple value does not support item assignment`), "tuples are immutable: write a list, [1, 2]"},
	{regexp.MustCompile(`^unknown conversion %\.|^format spec features not supported`), `there is no such format; for two decimal places: n = int(math.round(abs(x) * 100)), then ("-" if x < 0 else "") + "%d.%s" % (n // 100, ("0" + str(n % 100))[-2:])`},
	{regexp.MustCompile(`^unknown conversion %[0-9+\- #]`), "there are no widths: write %s or %d; \" \" * (n - len(text)) + text fills up"},
	{regexp.MustCompile(`^not enough arguments for format`), `each %s takes one: write "%s %s" % (a, b)`},
	{regexp.MustCompile(`^too many arguments for format`), `each value takes one %s: write "%s %s" % (a, b)`},
	{regexp.MustCompile(`^format: (tuple index out of range|keyword \w+ not found)`), `each {} takes a value, each {name} one given by its name: write "{} {name}".format(a, name = b)`},
	{regexp.MustCompile(`^%[dioxX] format requires integer`), "write %s, or int(text)"},
}
