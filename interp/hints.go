package interp

import (
	"regexp"
	"strings"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// A pythonism is something that Python has and Starlark has not. The parser
// says what it saw instead of what it wanted, which helps nobody; line is what
// the author wrote, up to where the parser stopped and after it.
type pythonism struct {
	message *regexp.Regexp // of the parser
	before  *regexp.Regexp // the line up to the error
	after   *regexp.Regexp // the line from the error on
	say     string         // replaces the message
	hint    string
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

var pythonisms = []pythonism{
	{before: re(`\b[fF][rR]?$|\b[rR][fF]$`), after: re(`^["']`), say: "there are no f-strings",
		hint: `write "…%s" % value, or "…{}".format(value)`},
	{after: re(`^try\b`), say: "there are no exceptions", hint: "check before, or end evaluation with fail(…)"},
	{after: re(`^(except|finally)\b`), say: "there are no exceptions", hint: "check before, or end evaluation with fail(…)"},
	{after: re(`^raise\b`), say: "there are no exceptions", hint: "end evaluation with fail(…)"},
	{after: re(`^assert\b`), say: "there is no assert", hint: "write: if not …: fail(…)"},
	{after: re(`^class\b`), say: "there are no classes", hint: "write a function that returns struct(…)"},
	{after: re(`^(import|from)\b`), say: "there is no import", hint: `write load("file.star", "name")`},
	{after: re(`^with\b`), say: "there is no with", hint: "read_file(…) returns the text of a file"},
	{after: re(`^del\b`), say: "there is no del", hint: "write d.pop(key), or list.pop(index)"},
	{after: re(`^(global|nonlocal)\b`), say: "a function cannot assign to a name outside of it", hint: "return the value instead"},
	{after: re(`^yield\b`), say: "there are no generators", hint: "return a list"},
	{after: re(`^(async|await)\b`), say: "there is no concurrency", hint: "evaluation only declares; pipe runs things in parallel"},
	{after: re(`^is\b`), say: "there is no is", hint: "write == or !="},
	{after: re(`^match\b`), say: "there is no match", hint: "write if, elif and else"},
	{before: re(`\bis\s*$`), after: re(`^not\b`), say: "there is no is", hint: "write !="},
	{after: re(`^\*\*|^\*`), before: re(`\w\s*\*?\s*$`), message: re(`want primary expression`), say: "there is no ** for powers", hint: "write x * x; for others there is math.pow(x, y)"},
	{before: re(`^\s*def\b.*\w\s*$`), after: re(`^:`), say: "there are no type hints", hint: "write the name of the parameter alone"},
	{after: re(`^->`), say: "there are no type hints", hint: "leave out -> and the type"},
	{before: re(`^\s*def\b.*\)\s*-?$`), after: re(`^-?>`), say: "there are no type hints", hint: "leave out -> and the type"},
	{before: re(`^\s*\w+\s*$`), after: re(`^:`), say: "there are no type hints", hint: "write name = value"},
	{before: re(`:$`), after: re(`^=`), say: "there is no :=", hint: "assign on a line of its own"},
	{after: re(`^@`), say: "there are no decorators", hint: "call the function with the other as argument"},
	{before: re(`^\s*(if|elif|for|while|else|def)\b.*$`), after: re(`^$`), message: re(`want ':'`), say: "the ':' is missing at the end of the line"},
	{before: re(`^\s*else\s*$`), after: re(`^if\b`), say: "there is no else if", hint: "write elif"},
	{before: re(`["']\s*$`), after: re(`^[rRbB]?["']`), say: "two texts stand side by side", hint: "put a comma or a + between them"},
	{message: re(`got string literal, want`), say: "two values stand side by side", hint: "is a comma missing?"},
	{before: re(`^\s*print\s*$`), after: re(`^["']`), say: "print is a function", hint: "write print(…)"},
	{after: re(`^(\+\+|--)`), say: "there is no ++ or --", hint: "write x += 1"},
	{after: re(`^&&`), say: "there is no &&", hint: "write and"},
	{after: re(`^\|\|`), say: "there is no ||", hint: "write or"},
	{before: re(`&$`), after: re(`^&`), say: "there is no &&", hint: "write and"},
	{before: re(`\|$`), after: re(`^\|`), say: "there is no ||", hint: "write or"},
	{before: re(`[\[({,]\s*!?$`), after: re(`^!`), say: "there is no !", hint: "write not"},
	{after: re(`^\?`), say: "there is no ? :", hint: "write a if condition else b"},
	{after: re(`^\{?;?$`), before: re(`\{$`), message: re(`want`), say: "a '{' is not closed"},
}

// tokens makes the words of the parser readable: got identifier, want newline.
var (
	gotWant = regexp.MustCompile(`^got (.+), want (.+)$`)
	unended = regexp.MustCompile(`unexpected (EOF|newline) in string`)
)

// habit replaces what the parser says by what the author should write, where
// the line shows a habit of another language.
func habit(d *plan.Diagnostic, src *builtins.Source) {
	line := []rune(d.Line)
	col := min(max(d.Pos.Col-1, 0), len(line))
	before, after := string(line[:col]), string(line[col:])
	for _, p := range pythonisms {
		if p.message != nil && !p.message.MatchString(d.Message) ||
			p.before != nil && !p.before.MatchString(before) || p.after != nil && !p.after.MatchString(after) {
			continue
		}
		d.Message, d.Hint = p.say, p.hint
		return
	}
	// The parser often stops at the word after the one that is wrong.
	if words := strings.Fields(before); len(words) > 0 && strings.TrimSpace(before) == words[0] {
		start := len([]rune(before)) - len([]rune(strings.TrimLeft(before, " \t")))
		for _, p := range pythonisms {
			if p.before == nil && p.message == nil && p.after.MatchString(words[0]+" ") && !strings.HasPrefix(p.after.String(), `^is`) {
				d.Pos.Col = start + 1
				d.Message, d.Hint = p.say, p.hint
				return
			}
		}
	}
	if strings.HasSuffix(strings.TrimSpace(before), " is") || strings.HasSuffix(strings.TrimSpace(before), " is not") {
		d.Message, d.Hint = "there is no is", "write == or !="
		return
	}
	switch {
	case unended.MatchString(d.Message):
		d.Message, d.Hint = "the text is not closed at the end of its line", `text over several lines stands between """ and """`
	case gotWant.MatchString(d.Message):
		m := gotWant.FindStringSubmatch(d.Message)
		d.Message = "there is " + token(m[1]) + ", and " + token(m[2]) + " was expected"
	}
}

// token returns the parser's name of a token as an author knows it.
func token(name string) string {
	switch name {
	case "newline":
		return "the end of the line"
	case "indent":
		return "an indented block"
	case "outdent", "unindent":
		return "the end of the block"
	case "primary expression":
		return "a value"
	case "end of file", "EOF":
		return "the end of the file"
	case "identifier":
		return "a name"
	case "string literal":
		return "a text"
	case "int literal", "float literal":
		return "a number"
	}
	return name
}

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
	}
	return ""
}

// runtimeHint returns what to do about a message of the interpreter.
func runtimeHint(msg string) string {
	switch {
	case strings.Contains(msg, "frozen"):
		return "what a module defines cannot be changed after it was loaded: make a copy, such as dict(d) or list(l)"
	case strings.Contains(msg, "called recursively"):
		return "a function cannot call itself: use a for"
	case strings.HasPrefix(msg, "unknown binary op: string +"), strings.HasSuffix(msg, "+ string") && strings.HasPrefix(msg, "unknown binary op"):
		return `text is joined with text: write "…%s" % value, or str(value)`
	case strings.Contains(msg, "during iteration"):
		return "loop over a copy, such as list(x)"
	case strings.HasPrefix(msg, "load: name "):
		return "a module exports what it defines at its top"
	case strings.Contains(msg, "referenced before assignment"):
		return "a function that assigns to a name has one of its own"
	}
	return ""
}

// foreignNames are names of other languages and tools, with what is meant here.
var foreignNames = map[string]string{
	"true": "write True", "false": "write False", "null": "write None", "nil": "write None",
	"open": "write read_file(…)", "os": "evaluation sees nothing of the machine: declare a param(…)",
	"sys": "evaluation sees nothing of the machine", "import": `write load("file.star", "name")`,
	"Exception": "there are no exceptions: write fail(…)", "isinstance": `write type(x) == "string"`,
	"map": "write [f(x) for x in list]", "filter": "write [x for x in list if …]", "sum": "add in a for",
	"round": "write math.round(x)", "pow": "write math.pow(x, y)", "object": "write struct(…)",
	"getenv": "evaluation sees nothing of the machine: declare a param(…)", "env": "write environment, or declare a param(…)",
	"local_resource": "evaluation runs nothing: declare a job(…)", "docker_build": "write application(…, build = dockerfile(…))",
	"k8s_yaml": "write application(…, chart = chart(…))", "service": "write application, container, job or database",
}
