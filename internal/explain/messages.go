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

// The patterns of this package are compiled when there is an error to explain: that is
// once in an evaluation, and takes longer than the start of the program would allow.

// matches reports whether the pattern matches s.
func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }

// submatches returns what the groups of the pattern match in s, after the whole match, or
// nil.
func submatches(pattern, s string) []string { return regexp.MustCompile(pattern).FindStringSubmatch(s) }

// suggestion splits a message that ends with a suggestion, such as "undefined: prnt (did
// you mean print?)". It does so without a pattern, because a file can have any number of
// these.
func suggestion(msg string) (rest, suggested string) {
	body, ok := strings.CutSuffix(msg, "?)")
	i := strings.LastIndex(body, " (did you mean ")
	if !ok || i < 0 {
		return msg, ""
	}
	return body[:i], strings.TrimPrefix(body[i+len(" (did you mean "):], ".")
}

// Resolve returns the error for a message of the resolver. For an undefined name it
// suggests the nearest of names. offers has the hints for names that other modules
// define.
func Resolve(msg string, names []string, offers map[string]string) *Error {
	msg, said := suggestion(msg)
	name, undefined := strings.CutPrefix(msg, "undefined: ")
	if strings.Contains(msg, "support while loops") {
		msg = noWhile
	}
	if !undefined {
		return &Error{Msg: msg, Hint: resolveHint(msg)}
	}
	if said != "" {
		return &Error{Msg: msg, Suggest: said}
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
		return "return belongs in a function; fail(…) ends evaluation"
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

const (
	noAttr    = `^(?:"?(\w+)"? struct|(\w+)) has no \.(\w+) (?:field or method|attribute)$`
	noKeyword = `^function (\w+) got an unexpected keyword argument "?(\w+)"?$`
	noExport  = `^load: name (\w+) not found in module (.+)$`
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
	if rest, said := suggestion(msg); said != "" {
		return &Error{Msg: rest, Suggest: strings.Trim(said, `"`)}
	}
	e := &Error{Msg: msg}
	e.Hint, e.Suggest = runtimeHint(msg, of)
	return e
}

func runtimeHint(msg string, of Names) (hint, suggest string) {
	if m := submatches(noAttr, msg); m != nil {
		return attrHint(m[1]+m[2], m[3], m[1] != "", of)
	}
	if m := submatches(noKeyword, msg); m != nil {
		if params := of.Params(m[1]); len(params) > 0 {
			return "it takes " + strings.Join(params, ", "), misspell.Nearest(m[2], params)
		}
	}
	if m := submatches(noExport, msg); m != nil {
		names, ok := of.Exports(m[2])
		if !ok {
			return "", ""
		}
		return "it has " + strings.Join(names, ", "), misspell.Nearest(m[1], names)
	}
	for _, s := range runtimeHints {
		if matches(s.when, msg) {
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
	when string // a pattern
	hint string
}{
	{`frozen`, "what a module defines cannot be changed after it was loaded: make a copy, such as dict(d) or list(l)"},
	{`called recursively`, "a function cannot call itself: use a for"},
	{`^unknown binary op: (NoneType .*|.* NoneType)$`, "one side is None: does a function end without return?"},
	{`^unknown binary op: (string \+ .*|.* \+ string)$`, `text is joined with text: write "…%s" % value, or str(value)`},
	{`^unknown binary op: (string \* .*|.* \* string)$`, `text is repeated by a number: write "a" * 3`},
	{`^unknown binary op: string - `, `strings have no subtraction: write text.replace("…", "") or text.removesuffix("…")`},
	{`^unknown binary op: dict \+ `, "dicts are joined with |"},
	{`^unknown binary op: set \+ `, "sets are joined with |"},
	{`^unknown binary op: (list \+|.* \+ list$)`, "a list is joined with a list: write list(x), or [x]"},
	{`during iteration`, "loop over a copy, such as list(x)"},
	{`string value is not iterable`, "write text.elems() for its characters, text.splitlines() for its lines"},
	{`^int value is not iterable`, "write range(n)"},
	{`^(function|builtin_function_or_method) value is not iterable`, "call it: write name(…)"},
	{`has no len$`, "text, lists, tuples, dicts and sets have one"},
	{`(list|tuple|string) index -?\d+ out of range`, "the first is [0] and the last [-1]: look at len(x) before"},
	{`^unhandled index operation (struct|service|stage|port|plan)`, "an attribute is written value.name"},
	{`^argument after \*\* must be a mapping`, "** takes a dict, * a list"},
	{`^int: invalid literal`, "look before with text.isdigit()"},
	{`^(max|min): argument is an empty sequence`, "look before: write max(x) if x else 0"},
	{`^got \w+ in sequence assignment`, "a dict gives its keys alone: write d.items() for keys with values"},
	{`referenced before assignment`, "a function that assigns to a name has one of its own"},
	{`^key .* not in dict`, "d.get(key, default) returns a default"},
	{`^invalid call of non-function`, "is a comma missing before the bracket, or has a name of a function another value?"},
	{`^unhashable type`, "a key is a string, a number, None, or a tuple of these: write tuple(list)"},
	{` (<|>|<=|>=) .* not implemented$`, "both sides have one type: such as int(text) or str(number)"},
	{`^can't assign to \.\w+ field of service`, "give it in the call that declares the service"},
	{`^can't assign to \.\w+ field of`, "this value is immutable: make another"},
	{`^string value does not support item assignment`, "strings are immutable: make another"},
	{`^tuple value does not support item assignment`, "tuples are immutable: write a list, [1, 2]"},
	{`^unknown conversion %\.|^format spec features not supported`, `there is no such format; for two decimal places: n = int(math.round(abs(x) * 100)), then ("-" if x < 0 else "") + "%d.%s" % (n // 100, ("0" + str(n % 100))[-2:])`},
	{`^unknown conversion %[0-9+\- #]`, "there are no widths: write %s or %d; \" \" * (n - len(text)) + text fills up"},
	{`^not enough arguments for format`, `each %s takes one: write "%s %s" % (a, b)`},
	{`^too many arguments for format`, `each value takes one %s: write "%s %s" % (a, b)`},
	{`^format: (tuple index out of range|keyword \w+ not found)`, `each {} takes a value, each {name} one given by its name: write "{} {name}".format(a, name = b)`},
	{`^%[dioxX] format requires integer`, "write %s, or int(text)"},
}
