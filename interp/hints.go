package interp

import (
	"fmt"
	"regexp"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// resolveHint returns what to write instead of what the resolver refuses.
func resolveHint(msg string) string {
	switch {
	case strings.Contains(msg, "support while loops"):
		return "write for i in range(n): … with break"
	case strings.HasPrefix(msg, "return statement not within"):
		return "return belongs into a function; fail(…) ends evaluation"
	case strings.HasPrefix(msg, "load statement within"):
		return "load(…) stands at the top of the file, outside of if, for and def"
	case strings.Contains(msg, "leading underscores are not exported"):
		return "a name that starts with _ belongs to its module"
	case strings.Contains(msg, "not in a loop"):
		return "break and continue belong into a for"
	case strings.HasPrefix(msg, "positional argument may not follow named"):
		return "arguments without a name come first"
	}
	return ""
}

var (
	noAttr    = regexp.MustCompile(`^(?:"?(\w+)"? struct|(\w+)) has no \.(\w+) (?:field or method|attribute)$`)
	noKeyword = regexp.MustCompile(`^function (\w+) got an unexpected keyword argument "?(\w+)"?$`)
	noExport  = regexp.MustCompile(`^load: name (\w+) not found in module (.+)$`)
)

// runtimeHint returns what to do about a message of the interpreter.
func (e *evaluation) runtimeHint(d *plan.Diagnostic) string {
	msg := d.Message
	if m := noAttr.FindStringSubmatch(msg); m != nil {
		names := e.attrs(m[1] + m[2])
		other := ""
		if len(names) > 0 && len(names) < 10 {
			other = "it has " + strings.Join(prefixed(".", names), ", ")
		}
		return suggest(m[3], names, other)
	}
	if m := noKeyword.FindStringSubmatch(msg); m != nil {
		for _, name := range e.session.Sources() {
			if params := e.session.Source(name).Params(m[1]); len(params) > 0 {
				return suggest(m[2], params, "it takes "+strings.Join(params, ", "))
			}
		}
	}
	if m := noExport.FindStringSubmatch(msg); m != nil {
		return e.exported(d.Pos.File, m[1], m[2])
	}
	switch {
	case strings.Contains(msg, "frozen"):
		return "what a module defines cannot be changed after it was loaded: make a copy, such as dict(d) or list(l)"
	case strings.Contains(msg, "called recursively"):
		return "a function cannot call itself: use a for"
	case strings.HasPrefix(msg, "unknown binary op: string +"), strings.HasSuffix(msg, "+ string") && strings.HasPrefix(msg, "unknown binary op"):
		return `text is joined with text: write "…%s" % value, or str(value)`
	case strings.Contains(msg, "during iteration"):
		return "loop over a copy, such as list(x)"
	case strings.Contains(msg, "string value is not iterable"):
		return "write text.elems() for its characters, text.splitlines() for its lines"
	case strings.Contains(msg, "referenced before assignment"):
		return "a function that assigns to a name has one of its own"
	case strings.HasPrefix(msg, "key ") && strings.HasSuffix(msg, "not in dict"):
		return "d.get(key, default) returns a default"
	case strings.HasPrefix(msg, "invalid call of non-function"):
		return "is a comma missing before the bracket, or has a name of a function another value?"
	}
	return ""
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

// exported returns the hint for a name that the module, as file calls it, does not have.
func (e *evaluation) exported(file, name, module string) string {
	from := e.modules[file]
	if from == nil {
		return ""
	}
	src, err := e.find(from.src, module)
	if err != nil || e.modules[src.String()] == nil {
		return ""
	}
	names := e.modules[src.String()].globals.Keys()
	return suggest(name, names, fmt.Sprintf("it has %s", strings.Join(names, ", ")))
}

// foreignNames are names of other languages and tools, with what is meant here.
var foreignNames = map[string]string{
	"true": "write True", "false": "write False", "null": "write None", "nil": "write None", "undefined": "write None",
	"open": "write read_file(…)", "os": "evaluation sees nothing of the machine: declare a param(…)",
	"sys": "evaluation sees nothing of the machine", "Exception": "there are no exceptions: write fail(…)",
	"isinstance": `write type(x) == "string"`, "this": "there are no classes", "self": "there are no classes",
	"map": "write [f(x) for x in list]", "filter": "write [x for x in list if …]", "sum": "add in a for",
	"round": "write math.round(x)", "pow": "write math.pow(x, y)", "object": "write struct(…)",
	"format": `write "{}".format(value)`, "input": "declare a param(…)", "eval": "there is no eval", "exec": "there is no exec",
	"getenv": "evaluation sees nothing of the machine: declare a param(…)", "time": "evaluation has no clock", "random": "evaluation has no randomness",
	"local_resource": "evaluation runs nothing: declare a job(…)", "docker_build": "write application(…, build = dockerfile(…))",
	"k8s_yaml": "write application(…, chart = chart(…))", "helm": "write application(…, chart = chart(…))",
	"service": "write application, container, job or database", "deploy": "write application, container, job or database",
	"image": "a service has an .image; a reference is text", "volumes": "write volume(…)", "env": "write environment, or declare a param(…)",
	"__name__": "a module has no name", "__file__": "paths are relative to the file that they stand in",
}
