package interp

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// The parser says which token it saw and which it wanted. That helps nobody who
// wrote what another language has. So the line is looked at again, and where it
// shows a habit, the message says what to write instead.

// lexeme finds the tokens of a line, of Starlark and of its neighbours.
var lexeme = regexp.MustCompile(`[\pL_][\pL\pN_]*|\d[\w.]*|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|#.*|\*\*|->|:=|\+\+|--|&&|\|\||[=!<>]=|//=?|/\*|<<|>>|[-+*/%&|^]=|\S`)

// A line is a source line as tokens, and where the parser stopped in it.
type line struct {
	tokens []string
	starts []int // columns, from 0, in characters
	at     int   // the token that the parser refused; len(tokens) at the end of the line
	msg    string
}

// newLine returns the line text. The parser stops at column col, counted from
// 0: behind the token that it refuses, or before it if starts is true.
func newLine(text string, col int, starts bool, msg string) *line {
	l := &line{msg: msg}
	for _, m := range lexeme.FindAllStringIndex(text, -1) {
		if text[m[0]] == '#' {
			break
		}
		l.tokens = append(l.tokens, text[m[0]:m[1]])
		l.starts = append(l.starts, len([]rune(text[:m[0]])))
	}
	l.at = len(l.tokens)
	for i, s := range l.starts {
		end := s + len([]rune(l.tokens[i]))
		if starts && col < end || !starts && col <= end {
			l.at = i
			break
		}
	}
	return l
}

// tok returns the token i places after the refused one, or "".
func (l *line) tok(i int) string {
	if i += l.at; i < 0 || i >= len(l.tokens) {
		return ""
	}
	return l.tokens[i]
}

func (l *line) first() string {
	if len(l.tokens) == 0 {
		return ""
	}
	return l.tokens[0]
}

// touches reports whether the refused token and the one before have nothing between them.
func (l *line) touches() bool {
	i := l.at
	return i > 0 && i < len(l.tokens) && l.starts[i-1]+len([]rune(l.tokens[i-1])) == l.starts[i]
}

func (l *line) wants(what string) bool { return strings.Contains(l.msg, "want "+what) }

func isText(tok string) bool { return tok != "" && (tok[0] == '"' || tok[0] == '\'') }

func isWord(tok string) bool { return regexp.MustCompile(`^[\pL_]`).MatchString(tok) }

func isValue(tok string) bool {
	return isText(tok) || isWord(tok) || tok != "" && (tok[0] >= '0' && tok[0] <= '9' || strings.Contains(")]}", tok))
}

// A habit says what to write instead of something.
type habit struct {
	say, hint string
	when      func(*line) bool
	back      int // the mistake is that many tokens before the one that the parser refused
}

// at is a habit whose word or sign the parser refuses.
func at(words, say, hint string) habit {
	list := strings.Fields(words)
	return habit{say: say, hint: hint, when: func(l *line) bool { return slices.Contains(list, l.tok(0)) }}
}

// starting is a habit whose word starts the line; the parser refuses what follows.
func starting(word, say, hint string) habit {
	return habit{say: say, hint: hint, back: 1, when: func(l *line) bool { return l.at == 1 && l.first() == word }}
}

const (
	noExceptions = "there are no exceptions"
	noHints      = "there are no type hints"
)

var habits = []habit{
	{say: "there are no f-strings", hint: `write "…%s" % value, or "…{}".format(value)`, back: 1, when: func(l *line) bool {
		return isText(l.tok(0)) && l.touches() && regexp.MustCompile(`^([fF][rR]?|[rR][fF])$`).MatchString(l.tok(-1))
	}},
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
	at("@", "there are no decorators", "call the function with the other as argument"),
	at("->", noHints, "leave out -> and the type"),
	{say: noHints, hint: "leave out -> and the type", when: func(l *line) bool { return l.first() == "def" && l.tok(0) == "-" && l.tok(1) == ">" }},
	{say: noHints, hint: "write the name of the parameter alone", when: func(l *line) bool { return l.first() == "def" && l.tok(0) == ":" && l.wants("')'") }},
	{say: `there is no ":="`, hint: "assign on a line of its own", when: func(l *line) bool { return l.tok(0) == ":=" }},
	{say: noHints, hint: "write name = value", when: func(l *line) bool {
		return l.tok(0) == ":" && l.at == 1 && isWord(l.first()) && !slices.Contains([]string{"else", "default", "case", "match"}, l.first())
	}},
	starting("assert", `there is no "assert"`, "write if not …: fail(…)"),
	starting("match", `there is no "match"`, "write if, elif and else"),
	starting("case", `there is no "case"`, "write if, elif and else"),
	starting("switch", `there is no "switch"`, "write if, elif and else"),
	starting("print", "print is a function", "write print(…)"),
	starting("let", `there is no "let"`, "write name = value"),
	starting("var", `there is no "var"`, "write name = value"),
	starting("const", `there is no "const"`, "write name = value"),
	starting("func", `there is no "func"`, "write def name(…):"),
	starting("function", `there is no "function"`, "write def name(…):"),
	{say: `there is no "else if"`, hint: "write elif", back: 1, when: func(l *line) bool { return l.tok(-1) == "else" && l.tok(0) == "if" }},
	{say: "the else or elif has no if", hint: "it stands below its if, as far to the right", when: func(l *line) bool {
		return l.at == 0 && (l.tok(0) == "else" || l.tok(0) == "elif")
	}},
	{say: `there is no "++" or "--"`, hint: "write x += 1", back: 1, when: func(l *line) bool { return l.tok(-1) == "++" || l.tok(-1) == "--" }},
	at("&&", `there is no "&&"`, "write and"),
	at("||", `there is no "||"`, "write or"),
	at("!", `there is no "!"`, "write not"),
	at("?", `there is no "? :"`, "write a if condition else b"),
	at("$", "there are no variables of a shell", "evaluation sees nothing of the machine: declare a param(…)"),
	at("“ ” ‘ ’ „ «", "these are not quotes of a program", `write "`),
	{say: "this is no comment", hint: "write #", when: func(l *line) bool { return l.at == 0 && (l.tok(0) == "//" || l.tok(0) == "/*") }},
	{say: "there are no powers with **", hint: "write x * x, or math.pow(x, y)", when: func(l *line) bool { return l.tok(0) == "**" && isValue(l.tok(-1)) }},
	{say: "nothing can be unpacked here", hint: "lists are joined with +, dicts with |", when: func(l *line) bool {
		return (l.tok(0) == "*" || l.tok(0) == "**") && l.wants("primary")
	}},
	{say: "sets have no braces", hint: "write set([…])", when: func(l *line) bool { return (l.tok(0) == "," || l.tok(0) == "}") && l.wants("':'") }},
	{say: "blocks have no braces", hint: "write ':' and indent the lines of the block", when: func(l *line) bool { return l.tok(0) == "{" && l.wants("':'") }},
	{say: "blocks have no braces", hint: "write ':' and indent the lines of the block", back: 1, when: func(l *line) bool {
		return l.tok(-1) == "{" && l.tok(0) == "" && slices.Contains([]string{"if", "for", "def", "else", "elif", "while"}, l.first())
	}},
	{say: "a lambda is one expression", hint: "write it without return, or use def", when: func(l *line) bool {
		return l.tok(0) == "return" && slices.Contains(l.tokens, "lambda")
	}},
	{say: "this stands further to the right than the line before", hint: "a block starts after a ':'", when: func(l *line) bool { return strings.HasPrefix(l.msg, "got indent") }},
	{say: "this stands as far to the right as no block above", hint: "indent it as the block that it belongs to", when: func(l *line) bool {
		return strings.Contains(l.msg, "unindent does not match")
	}},
	{say: "the block is empty", hint: "indent its lines; a block without any has pass", when: func(l *line) bool { return l.wants("indent") }},
	{say: "the ':' is missing at the end of the line", when: func(l *line) bool { return l.tok(0) == "" && l.wants("':'") }},
	{say: "a generator stands in brackets", hint: "write [… for … in …]", when: func(l *line) bool { return l.tok(0) == "for" && l.wants("','") }},
	{say: "something is missing on the line before", hint: "a comma, or the bracket that closes it", when: func(l *line) bool {
		return l.at == 0 && isValue(l.tok(0)) && regexp.MustCompile(`want '?[\])},]`).MatchString(l.msg)
	}},
	{say: "two texts stand side by side", hint: "put a comma or a + between them", when: func(l *line) bool { return isText(l.tok(-1)) && isText(l.tok(0)) }},
	{say: "a comma is missing before this", when: func(l *line) bool {
		return l.at > 0 && isValue(l.tok(0)) && isValue(l.tok(-1)) && regexp.MustCompile(`want '?[\])},]`).MatchString(l.msg)
	}},
	{say: "this bracket closes none", when: func(l *line) bool {
		return strings.HasPrefix(l.msg, "unexpected '") && strings.Contains(")]}", l.tok(0))
	}},
	{say: "comparisons are not chained", hint: "write a < b and b < c", when: func(l *line) bool { return strings.Contains(l.msg, "does not associate") }},
	{say: "a number does not start with 0", hint: "write 0o before an octal number", when: func(l *line) bool { return strings.Contains(l.msg, "obsolete form of octal") }},
	{say: "the text is not closed at the end of its line", hint: `text over several lines stands between """ and """`, when: func(l *line) bool {
		return strings.Contains(l.msg, "in string")
	}},
	{say: "load gives names", hint: `write load("file.star", "name")`, when: func(l *line) bool { return strings.HasPrefix(l.msg, "load ") || strings.Contains(l.msg, "of load") }},
	{say: "this is nested too deep", when: func(l *line) bool { return l.msg == "excessive nesting" }},
}

var gotWant = regexp.MustCompile(`^got (.+), want (.+)$`)

// before matches messages of the parser whose position is before the token.
var before = regexp.MustCompile(`want primary expression|^unexpected|^stray|in string|unindent|nesting`)

// explainParse replaces what the parser says in d by what the author should write.
// lines returns the text of a line.
func explainParse(d *plan.Diagnostic, lines func(int) string) {
	// The end of a line is reported at the start of the next one.
	if strings.HasPrefix(d.Message, "got newline") && d.Pos.Col <= 1 && d.Pos.Line > 1 {
		d.Pos.Line--
		d.Pos.Col = len([]rune(strings.TrimRight(lines(d.Pos.Line), " \t"))) + 1
	}
	d.Line = lines(d.Pos.Line)
	starts := before.MatchString(d.Message)
	l := newLine(d.Line, d.Pos.Col-1, starts, d.Message)
	if strings.HasPrefix(d.Message, "got newline") {
		l.at = len(l.tokens)
	}
	move := func(back int) {
		if i := l.at - back; i >= 0 && i < len(l.tokens) {
			d.Pos.Col = l.starts[i] + 1
		}
	}
	for _, h := range habits {
		if h.when(l) {
			d.Message, d.Hint = h.say, h.hint
			move(h.back)
			return
		}
	}
	if m := gotWant.FindStringSubmatch(d.Message); m != nil {
		d.Message = "here is " + token(m[1]) + ", and " + token(m[2]) + " was expected"
		move(0)
	}
}

// token returns the parser's name of a token as an author knows it.
func token(name string) string {
	switch name {
	case "newline":
		return "the end of the line"
	case "outdent":
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
