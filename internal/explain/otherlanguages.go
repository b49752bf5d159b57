package explain

import (
	"slices"
	"strings"
)

// Constructs of other languages, and what to write instead.

const (
	noExceptions = "there are no exceptions"
	noHints      = "there are no type hints"
	partOfIt     = "this word is a part of the language"
	fstrings     = `write "…%s" % value, or "…{}".format(value)`
)

// isFPrefix reports whether tok is the prefix of an f-string.
func isFPrefix(tok string) bool {
	low := strings.ToLower(tok)
	return low == "f" || low == "fr" || low == "rf"
}

// reserved reports whether a word cannot be a name.
func reserved(word string) bool {
	return slices.Contains(strings.Fields(`and as assert async await break class continue def del elif else except finally for from global if import in
		is lambda load nonlocal not or pass raise return try while with yield`), word)
}

var habits = []habit{
	// An error of the scanner in an escape applies wherever the string is.
	escaping(`non-ASCII`, `\x and octal escapes go up to \x7f; write \u and four digits for a character, b"…" for bytes`),
	escaping(`truncated escape|invalid escape sequence \\[xuU]`, `\x takes two hexadecimal digits, \u four, \U eight: "\x1b", "\u2013", "\U0001F600"`),
	escaping(`code point`, `write the character itself, or \U and the eight digits of its number: "\U0001F600"`),
	escaping(`invalid escape sequence \\e$`, `write \x1b`),
	escaping(`invalid escape sequence`, `write \\ for a \, or r"…" for text without escapes`),
	{say: "there are no f-strings", hint: fstrings, back: 1, when: func(l *line) bool {
		return isText(l.tok(0)) && l.touches() && isFPrefix(l.tok(-1))
	}},
	{say: "there are no f-strings", hint: fstrings, when: func(l *line) bool { // next to another string
		return isText(l.tok(1)) && isText(l.tok(-1)) && isFPrefix(l.tok(0))
	}},
	{say: "there are no f-strings", hint: fstrings, back: 2, when: func(l *line) bool { // on several lines
		return l.tok(-1) == `"""` && isFPrefix(l.tok(-2))
	}},
	{say: "there is no such string prefix", hint: `write "…", r"…" or b"…"`, back: 1, when: func(l *line) bool {
		return isText(l.tok(0)) && l.touches() && slices.Contains(strings.Fields("u U t T R B"), l.tok(-1))
	}},
	{say: partOfIt, hint: `as an argument it can be given by **{"word": value}`, when: func(l *line) bool {
		return l.at > 0 && reserved(l.tok(0)) && l.tok(1) == "="
	}},
	{say: partOfIt, hint: "take another name", when: func(l *line) bool {
		return reserved(l.tok(0)) && (l.tok(1) == "=" || l.tok(-1) == "." || l.msg == "not an identifier")
	}},
	{say: partOfIt, hint: "take another name", back: 1, when: func(l *line) bool { return l.tok(0) == "=" && reserved(l.tok(-1)) }},
	{say: "every parameter can be given by its name", hint: "leave out the /", when: func(l *line) bool { return l.tok(0) == "/" && l.msg == "not an identifier" }},
	{say: "a name is missing after the '.'", when: func(l *line) bool { return l.tok(-1) == "." && l.msg == "not an identifier" }},
	at("try except finally", noExceptions, "check before, or end evaluation with fail(…)"),
	at("raise", noExceptions, "end evaluation with fail(…)"),
	at("class", "there are no classes", "write a function that returns struct(…)"),
	at("import from", `there is no "import"`, `write load("file.star", "name")`),
	at("with", `there is no "with"`, "read_file(…) returns the text of a file"),
	at("del", `there is no "del"`, "write d.pop(key), or list.pop(index)"),
	at("global nonlocal", "a function cannot assign to a name outside of it", "return the value instead"),
	at("yield", "there are no generators", "return a list"),
	at("async await", "there is no concurrency here", "evaluation only declares; pipe runs things in parallel"),
	at("is", `there is no "is"`, "write == or !="),
	{say: `there is no "is"`, hint: "write == or !=", on: "is", when: func(l *line) bool {
		return strings.Contains(l.msg, "without else") && l.within("is")
	}},
	{hint: "write a if condition else b", when: func(l *line) bool { return strings.Contains(l.msg, "without else") }},
	{say: "if is not a value here", hint: "write a if condition else b", when: func(l *line) bool { return l.tok(0) == "if" && l.wants("primary") }},
	{say: "there are no decorators", hint: "call the function with the other as argument", when: func(l *line) bool { return l.tok(0) == "@" && l.at == 0 }},
	at("@", `there is no "@"`, "write a for over the numbers"),
	{say: noHints, hint: "leave out -> and the type", when: func(l *line) bool { return l.first() == "def" && l.tok(0) == "->" }},
	at("-> :: ?.", "this is not an operator", "an attribute is written value.name"),
	at("??", `there is no "??"`, "write a if a != None else b"),
	at("=== <>", "this is not a comparison", "write == or !="),
	at("!==", "this is not a comparison", "write !="),
	at("=>", `there is no "=>"`, "write lambda x: …, or def; an argument is given as name = value"),
	at("...", `there is no "..."`, "write pass"),
	{say: noHints, hint: "leave out -> and the type", when: func(l *line) bool { return l.first() == "def" && l.tok(0) == "-" && l.tok(1) == ">" }},
	{say: noHints, hint: "write the name of the parameter alone", when: func(l *line) bool { return l.first() == "def" && l.tok(0) == ":" && l.wants("')'") }},
	{say: `there is no ":="`, hint: "assign on a line of its own", when: func(l *line) bool { return l.tok(0) == ":=" }},
	{say: noHints, hint: "write name = value", when: func(l *line) bool {
		return l.tok(0) == ":" && l.at == 1 && isWord(l.first()) && !slices.Contains([]string{"else", "default", "case", "match"}, l.first())
	}},
	starting("assert", `there is no "assert"`, "write if not …: fail(…)"),
	starting("match", `there is no "match"`, "write if, elif and else"),
	starting("case", `there is no "case"`, "write if, elif and else"),
	leading("switch", `there is no "switch"`, "write if, elif and else"),
	starting("print", "print is a function", "write print(…)"),
	starting("let", `there is no "let"`, "write name = value"),
	starting("var", `there is no "var"`, "write name = value"),
	starting("const", `there is no "const"`, "write name = value"),
	starting("func", `there is no "func"`, "write def name(…):"),
	starting("function", `there is no "function"`, "write def name(…):"),
	starting("fn", `there is no "fn"`, "write def name(…):"),
	starting("foreach", `there is no "foreach"`, "write for x in list:"),
	starting("unless", `there is no "unless"`, "write if not …:"),
	starting("until", `there is no "until"`, "write for i in range(n): … with break"),
	starting("throw", noExceptions, "end evaluation with fail(…)"),
	starting("include", `there is no "include"`, `write load("file.star", "name")`),
	starting("require", `there is no "require"`, `write load("file.star", "name")`),
	starting("load", "load gives names", `write load("file.star", "name")`),
	starting("export", `there is no "export"`, "every name of a module that does not start with _ can be loaded"),
	starting("set", `there is no "set"`, "write name = value"),
	starting("enum", `there are no enums`, `write a list of strings, or struct(a = "a", b = "b")`),
	starting("type", `there are no types to declare`, "write a function that returns struct(…)"),
	{say: "a call has brackets", hint: "write name(…)", when: func(l *line) bool {
		return l.at == 1 && isWord(l.first()) && !reserved(l.first()) && (isText(l.tok(0)) || isNumber(l.tok(0)))
	}},
	{say: `there is no "new"`, hint: "a value is made by a call: name(…)", back: 1, when: func(l *line) bool { return l.tok(-1) == "new" && isWord(l.tok(0)) }},
	{say: `there is no "typeof"`, hint: "write type(x)", back: 1, when: func(l *line) bool { return l.tok(-1) == "typeof" && isWord(l.tok(0)) }},
	{say: "a for goes over a list", hint: "write for i in range(n):", when: func(l *line) bool { return l.first() == "for" && l.within("(") && l.wants("')'") }},
	{say: "a for goes over a list", hint: "write for x in list:", when: func(l *line) bool {
		return l.first() == "for" && (l.tok(0) == "of" || l.tok(0) == ":" && l.wants("in"))
	}},
	{say: `there are no ranges with ".."`, hint: "write range(1, 4) for 1, 2, 3", when: func(l *line) bool { return strings.Contains(l.tok(0), "..") }},
	{say: "a number has no _", hint: "write its digits alone, as in 1000000", when: func(l *line) bool { return isNumber(l.tok(0)) && strings.Contains(l.tok(0), "_") }},
	{say: `there is no "else if"`, hint: "write elif", back: 1, when: func(l *line) bool { return l.tok(-1) == "else" && l.tok(0) == "if" }},
	{say: "the else or elif has no if", hint: "put it below its if, with the same indentation", when: func(l *line) bool {
		return l.at == 0 && (l.tok(0) == "else" || l.tok(0) == "elif")
	}},
	{say: `there is no "++" or "--"`, hint: "write x += 1", back: 1, when: func(l *line) bool { return l.tok(-1) == "++" || l.tok(-1) == "--" }},
	at("&&", `there is no "&&"`, "write and"),
	at("||", `there is no "||"`, "write or"),
	at("!", `there is no "!"`, "write not"),
	at("?", `there is no "? :"`, "write a if condition else b"),
	at("$", "shell variables are not available", "evaluation sees nothing of the machine: declare a param(…)"),
	at("“ ” ‘ ’ „ « `", "these are not straight quotes", `write "`),
	at("– — −", "this is not a minus sign", "write -"),
	{say: "this is not a comment", hint: "write #", when: func(l *line) bool { return l.at == 0 && (l.tok(0) == "//" || l.tok(0) == "/*") }},
	{say: "there are no powers with **", hint: "write x * x, or math.pow(x, y)", when: func(l *line) bool { return l.tok(0) == "**" && isValue(l.tok(-1)) }},
	{say: "nothing can be unpacked here", hint: "lists are joined with +, dicts with |", when: func(l *line) bool {
		return (l.tok(0) == "*" || l.tok(0) == "**") && l.wants("primary")
	}},
	{say: "there are no powers with **", hint: "write x * x, or math.pow(x, y)", when: func(l *line) bool { return l.tok(0) == "**=" }},
	{say: "a set is not written in braces", hint: "write set([… for … in …])", when: func(l *line) bool { return l.tok(0) == "for" && l.wants("':'") }},
	{say: "= assigns, and does not compare", hint: "write ==", when: func(l *line) bool {
		return l.tok(0) == "=" && l.wants("':'") && slices.Contains([]string{"if", "elif", "while"}, l.first())
	}},
	{say: "a dict has a ':' between key and value", hint: `write {"key": value}`, when: func(l *line) bool { return l.tok(0) == "=" && l.wants("':'") }},
	{say: "an argument is given with =", hint: "write name = value", when: func(l *line) bool { return l.tok(0) == ":" && l.wants("','") && isWord(l.tok(-1)) }},
	{say: "sets have no braces", hint: "write set([…])", when: func(l *line) bool { return (l.tok(0) == "," || l.tok(0) == "}") && l.wants("':'") }},
	{say: "blocks have no braces", hint: "write ':' and indent the lines of the block", when: func(l *line) bool { return l.tok(0) == "{" && l.wants("':'") }},
	{say: "blocks have no braces", hint: "write ':' and indent the lines of the block", back: 1, when: func(l *line) bool {
		return l.tok(-1) == "{" && l.tok(0) == "" && slices.Contains([]string{"if", "for", "def", "else", "elif", "while"}, l.first())
	}},
	{say: "a lambda is one expression", hint: "write it without return, or use def", when: func(l *line) bool {
		return l.tok(0) == "return" && l.within("lambda")
	}},
	{say: "a lambda is one expression", hint: "use def, which can have a block", when: func(l *line) bool {
		return l.within("lambda") && slices.Contains([]string{"", "pass", "=", "for", "raise", "fail"}, l.tok(0))
	}},
	{say: "this line is indented more than the line before", hint: "a block starts after a ':'", when: func(l *line) bool { return strings.HasPrefix(l.msg, "got indent") }},
	{say: "this indentation matches no block above", hint: "indent it as the block that it belongs to", when: func(l *line) bool {
		return strings.Contains(l.msg, "unindent does not match")
	}},
	{say: "the block is empty", hint: "indent its lines; a block without any has pass", when: func(l *line) bool { return l.wants("indent") }},
	{say: "the ':' is missing at the end of the line", when: func(l *line) bool { return l.tok(0) == "" && l.wants("':'") }},
	{say: "a generator expression needs brackets", hint: "write [… for … in …]", when: func(l *line) bool { return l.tok(0) == "for" && l.wants("','") }},
	{say: "something is missing on the line before", hint: "a comma, or the bracket that closes it", when: func(l *line) bool {
		return l.at == 0 && isValue(l.tok(0)) && matches(`want '?[\])},]`, l.msg)
	}},
	{say: "two texts stand side by side", hint: "put a comma or a + between them", when: func(l *line) bool { return isText(l.tok(-1)) && isText(l.tok(0)) }},
	{say: "the if of a comprehension has no else", hint: "write [a if condition else b for x in list]", when: func(l *line) bool {
		return l.tok(0) == "else" && l.within("for") && l.within("if")
	}},
	{say: "the string ends before this", hint: `write \" or \' for a quote in it, or the other quotes around it`, when: func(l *line) bool {
		return isText(l.tok(-1)) && isWord(l.tok(0)) && l.touches()
	}},
	{say: "a comma is missing before this", when: func(l *line) bool {
		return l.at > 0 && isValue(l.tok(0)) && isValue(l.tok(-1)) && matches(`want '?[\])},]`, l.msg)
	}},
	{say: "this bracket closes none", when: func(l *line) bool {
		return strings.HasPrefix(l.msg, "unexpected '") && strings.Contains(")]}", l.tok(0))
	}},
	{say: "comparisons are not chained", hint: "write a < b and b < c", when: func(l *line) bool { return strings.Contains(l.msg, "does not associate") }},
	{say: "a number does not start with 0", hint: "write 0o before an octal number", when: func(l *line) bool { return strings.Contains(l.msg, "obsolete form of octal") }},
	{say: "the string is not closed", hint: `it ends with """, as it starts`, when: func(l *line) bool { return strings.Contains(l.msg, "EOF in string") }},
	{say: "the string is not closed at the end of its line", hint: `write a string of several lines between """ and """`, when: func(l *line) bool {
		return strings.Contains(l.msg, "in string")
	}},
	{say: "load gives names", hint: `write load("file.star", "name")`, when: func(l *line) bool { return strings.HasPrefix(l.msg, "load ") || strings.Contains(l.msg, "of load") }},
	{say: "this is nested too deep", when: func(l *line) bool { return l.msg == "excessive nesting" }},
}

// onlyInTests is the hint for a name that only test files have.
const onlyInTests = "only tests have it: files *_test.star, that pipe test runs"

// foreignNames maps names of other languages and tools to what to write here.
var foreignNames = map[string]string{
	"plan": onlyInTests, "plan_error": onlyInTests, "golden": onlyInTests,
	"true": "write True", "false": "write False", "null": "write None", "nil": "write None", "undefined": "write None",
	"assert": "write if not …: fail(…)", "require": "write if not …: fail(…)", "throw": "write fail(…)", "ValueError": "there are no exceptions: write fail(…)",
	"string": "write str(x)", "boolean": "write bool(x)", "next": "write list[0]", "iter": "write list(x)", "id": "write ==", "callable": `write type(x) == "function"`, "super": "there are no classes",
	"issubclass": "there are no classes", "globals": "a module does not see its names as a dict", "divmod": "write x // y and x % y", "frozenset": "write set(…)",
	"chr": `write "%c" % number`, "hex": `write "%x" % number`, "oct": `write "%o" % number`, "bin": "there are no binary literals",
	"open": "write read_file(…)", "os": "evaluation sees nothing of the machine: declare a param(…)",
	"sys": "evaluation sees nothing of the machine", "Exception": "there are no exceptions: write fail(…)",
	"isinstance": `write type(x) == "string"`, "this": "there are no classes", "self": "there are no classes",
	"map": "write [f(x) for x in list]", "filter": "write [x for x in list if …]", "sum": "add in a for",
	"round": "write math.round(x)", "pow": "write math.pow(x, y)", "object": "write struct(…)",
	"format": `write "{}".format(value)`, "input": "declare a param(…)", "eval": "there is no eval", "exec": "there is no exec",
	"getenv": "evaluation sees nothing of the machine: declare a param(…)", "time": "evaluation has no clock", "random": "evaluation has no randomness",
	"local_resource": "evaluation runs nothing: declare a job(…)", "docker_build": "write application(…, build = dockerfile(…))",
	"k8s_yaml": "write manifests(\"name\", \"k8s/app.yaml\")", "k8s_objects": "write manifests(\"name\", \"k8s/app.yaml\")", "raw": "write manifests(\"name\", {…})",
	"k8s_resource": "a service has its ports, stage and labels itself: write application(…, ports = […], stage = …)", "dc_resource": "write application(…) or container(…)",
	"k8s_kind": "write manifests(\"name\", …): its image fields are deployed as they are", "k8s_kustomize": "write manifests(\"name\", kustomize(\"overlays/prod\"))", "kustomization": "write manifests(\"name\", kustomize(\"overlays/prod\"))", "k8s_custom_deploy": "write manifests(…), or helm(…, chart = chart(…))",
	"pack":         "write build = buildpack(\"BUILDER\")",
	"custom_build": "write application(…, build = command_build([…], inputs = […])), or image = … for one that is built elsewhere", "helm_resource": "write helm(…, chart = chart(…, repo = …))",
	"helm_repo": "write chart(\"name\", repo = \"https://…\")", "helm_remote": "write helm(…, chart = chart(\"name\", repo = \"https://…\"))", "release": "write helm(…, chart = chart(…))", "helm_release": "write helm(…, chart = chart(…))",
	"config": "write param(\"name\", default = …): its value comes with --set name=value", "allow_k8s_contexts": "write pipeline(…, allow_contexts = […])",
	"k8s_context": "evaluation knows no cluster: --context names it; environment.name is the environment", "k8s_namespace": "write pipeline(…, namespace = \"…\")",
	"default_registry": "write pipeline(…, registry = \"…\")", "live_update": "changes are built and deployed again: write application(…, build = dockerfile(…))",
	"docker_prune_settings": "the embedded builder keeps its cache small itself", "update_settings": "write pipeline(…, build_parallelism = 7)", "trigger_mode": "pipe run deploys what has changed",
	"watch_file": "what is read is watched: read_file(…), glob(…)", "listdir": "write glob(\"folder/*\")",
	"load_dynamic": "write load(\"file.star\", \"name\")", "version_settings": "write require_version(\">=0.3\")", "decode_json": "write json.decode(text)", "encode_json": "write json.encode(value)",
	"decode_yaml": "write yaml.decode(text)", "encode_yaml": "write yaml.encode(value)", "read_yaml_stream": "write read_yaml_all(…)",
	"datetime": "evaluation has no clock", "uuid": "evaluation has no randomness", "secrets": "write secret(name)",
	"requests":   "evaluation has no network: read a file of the workspace, or declare a param(…)",
	"urllib":     "evaluation has no network: read a file of the workspace, or declare a param(…)",
	"subprocess": "evaluation runs nothing: declare a job(…)", "local_exec": "evaluation runs nothing: declare a job(…)", "shell": "evaluation runs nothing: declare a job(…)",
	"re": "there are no regular expressions: strings have find, split, startswith, replace…", "logging": "write print(…), or warn(…)",
	"log": "write print(…), or warn(…)", "console": "write print(…)", "printf": "write print(…)", "echo": "write print(…)",
	"pathlib": "a path is a string, relative to the file that contains it", "glob_files": "write glob(…)", "include": "write load(\"file.star\", \"name\")",
	"functools": "write a for", "itertools": "write a for", "reduce": "write a for", "copy": "write list(x) or dict(x)", "deepcopy": "write json.decode(json.encode(x))",
	"namedtuple": "write struct(…)", "dataclass": "write struct(…)", "collections": "write dict, list or struct",
	"deployment": "write application(…) or container(…)", "statefulset": "write database(…), or container(…, volumes = […])", "cronjob": "write job(…, schedule = …)",
	"worker": "write application(…) or container(…)", "namespace": "write pipeline(…, namespace = \"…\")", "configmap": "write env = {…}",
	"ingress": "write ports = [port(80, public = True, host = …)]", "git_repository": "write source = git(…)", "docker_compose": "write application, container, job or database",
	"service": "write application, container, job or database", "deploy": "write application, container, job or database",
	"image": "a service has an .image; a reference is a string", "volumes": "write volume(…)", "env": "write environment, or declare a param(…)",
	"__name__": "a module has no name", "__file__": "paths are relative to the file that they stand in",
}

// foreignMembers maps functions of the libraries json, yaml and toml, by the names that
// other languages use, to what to write here.
var foreignMembers = map[string]string{
	"loads": readText, "load": readText, "safe_load": readText, "parse": readText, "unmarshal": readText,
	"dumps": writeText, "dump": writeText, "safe_dump": writeText, "stringify": writeText, "marshal": writeText,
}

const (
	readText  = "decode(text) reads text; read_json, read_yaml and read_toml read a file"
	writeText = "encode(value) writes text"
)

// foreignMethods maps methods of other languages to what to write here.
var foreignMethods = map[string]string{
	"sort": "write sorted(list)", "reverse": "write reversed(list)", "push": "write list.append(x)", "add": "write list.append(x)", "append": "write list + [x]",
	"length": "write len(x)", "size": "write len(x)", "count": "write len([x for x in list if …])", "copy": "write list(x), dict(x) or set(x)",
	"has_key": "write key in dict", "has": "write key in dict", "iteritems": "write dict.items()", "entries": "write dict.items()", "fromkeys": "write {key: value for key in list}",
	"includes": "write x in y", "contains": "write x in y", "indexOf": "write x.find(y) for text, list.index(y) for a list",
	"trim": "write text.strip()", "toUpperCase": "write text.upper()", "toLowerCase": "write text.lower()", "startsWith": "write text.startswith(…)",
	"endsWith": "write text.endswith(…)", "substring": "write text[from:to]", "substr": "write text[from:to]", "replaceAll": "write text.replace(old, new)",
	"map": "write [f(x) for x in list]", "filter": "write [x for x in list if …]", "forEach": "write for x in list:", "encode": "write bytes(text)", "decode": "write str(bytes)",
	"zfill": `write "0" * (n - len(text)) + text`, "rjust": `write " " * (n - len(text)) + text`, "ljust": `write text + " " * (n - len(text))`,
	"casefold": "write text.lower()", "isnumeric": "write text.isdigit()", "isdecimal": "write text.isdigit()", "format_map": "write text.format(**dict)",
	"concat": "write a + b", "toString": "write str(x)", "to_string": "write str(x)",
}
