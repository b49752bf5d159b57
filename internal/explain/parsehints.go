package explain

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/plan"
)

// The parser reports the token that it got and the one that it expected. That does not
// help an author who used the syntax of another language. So the line is examined again,
// and if it matches a habit, the message says what to write instead. The habits are in
// otherlanguages.go.

// lexeme matches the tokens of a line, in Starlark and similar languages.
const lexeme = `"""(?:.*?""")?|[\pL_][\pL\pN_]*|\d[\w.]*|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|#.*|\*\*=?|->|=>|:=|::|\.\.\.|\?\?|\?\.|===|!==|<>|\+\+|--|&&|\|\||[=!<>]=|//=?|/\*|<<|>>|[-+*/%&|^]=|\S`

// A line is a source line split into tokens, with the place where the parser stopped.
type line struct {
	tokens []string
	starts []int // columns, from 0, in characters
	at     int   // the token that the parser rejected; len(tokens) at the end of the line
	msg    string
}

// newLine returns the line text. The parser stops at column col, counted from 0: after
// the token that it rejects, or before it if starts is true.
func newLine(text string, col int, starts bool, msg string) *line {
	l := &line{msg: msg}
	for _, m := range regexp.MustCompile(lexeme).FindAllStringIndex(text, -1) {
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

// tok returns the token i places after the rejected one, or "".
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

// touches reports whether the rejected token directly follows the one before it.
func (l *line) touches() bool {
	i := l.at
	return i > 0 && i < len(l.tokens) && l.starts[i-1]+len([]rune(l.tokens[i-1])) == l.starts[i]
}

// within reports whether word occurs anywhere in the line.
func (l *line) within(word string) bool { return slices.Contains(l.tokens, word) }

func (l *line) wants(what string) bool { return strings.Contains(l.msg, "want "+what) }

func isText(tok string) bool { return tok != "" && (tok[0] == '"' || tok[0] == '\'') }

func isNumber(tok string) bool { return tok != "" && tok[0] >= '0' && tok[0] <= '9' }

func isWord(tok string) bool {
	r, _ := utf8.DecodeRuneInString(tok)
	return r == '_' || unicode.IsLetter(r)
}

func isValue(tok string) bool {
	return isText(tok) || isWord(tok) || isNumber(tok) || tok != "" && strings.Contains(")]}", tok)
}

// A habit is a construct of another language, with what to write instead. If say is
// empty, the message of the parser is kept.
type habit struct {
	say, hint string
	when      func(*line) bool
	back      int    // the mistake is that many tokens before the one that the parser rejected
	on        string // the mistake is the first of these words in the line
}

// at is a habit whose word or sign the parser rejects.
func at(words, say, hint string) habit {
	list := strings.Fields(words)
	return habit{say: say, hint: hint, when: func(l *line) bool { return slices.Contains(list, l.tok(0)) }}
}

// leading is a habit whose word starts the line, wherever in the line the parser stops.
func leading(word, say, hint string) habit {
	return habit{say: say, hint: hint, on: word, when: func(l *line) bool { return l.first() == word && l.at > 0 }}
}

// starting is a habit whose word starts the line; the parser rejects the token after it.
func starting(word, say, hint string) habit {
	return habit{say: say, hint: hint, back: 1, when: func(l *line) bool { return l.at == 1 && l.first() == word }}
}

// escaping is a habit about an escape in a string, recognized by the message of the
// scanner.
func escaping(says, hint string) habit {
	return habit{hint: hint, when: func(l *line) bool { return matches(says, l.msg) }}
}

const gotWant = `^got (.+), want (.+)$`

// before matches messages of the parser whose position is before the token.
const before = `want primary expression|^unexpected|^stray|in string|unindent|nesting|escape|code point`

// Parse replaces the message of the parser in d with what the author should write. lines
// returns a line of text by its number.
func Parse(d *plan.Diagnostic, text []byte, lines func(int) string) {
	// The end of a line is reported at the start of the next one.
	moved := (strings.HasPrefix(d.Message, "got newline") || d.Message == "not an identifier") && d.Pos.Col <= 1 && d.Pos.Line > 1
	if moved {
		d.Pos.Line--
		d.Pos.Col = len([]rune(strings.TrimRight(lines(d.Pos.Line), " \t"))) + 1
	}
	if strings.HasPrefix(d.Message, "got string literal") {
		openingLine(&d.Pos, lines)
	}
	d.Line = lines(d.Pos.Line)
	starts := matches(before, d.Message)
	l := newLine(d.Line, d.Pos.Col-1, starts, d.Message)
	if moved || strings.HasPrefix(d.Message, "got newline") {
		l.at = len(l.tokens)
	}
	move := func(i int) {
		if i >= 0 && i < len(l.tokens) {
			d.Pos.Col = l.starts[i] + 1
		}
	}
	for _, h := range habits {
		if h.when(l) {
			if d.Hint = h.hint; h.say != "" {
				d.Message = h.say
			}
			if move(l.at - h.back); h.on != "" {
				move(slices.Index(l.tokens, h.on))
			}
			return
		}
	}
	if strings.Contains(d.Message, "got end of file") {
		if line, col := unclosed(text); line > 0 {
			d.Message, d.Hint = "this bracket is not closed", ""
			d.Pos.Line, d.Pos.Col, d.Line = line, col, lines(line)
			return
		}
	}
	if m := submatches(gotWant, d.Message); m != nil {
		d.Message = "here is " + token(m[1]) + ", and " + token(m[2]) + " was expected"
		move(l.at)
	}
}

// openingLine moves pos, which is after a multi-line string, to the end of the line where
// that string starts.
func openingLine(pos *plan.Pos, lines func(int) string) {
	end := []rune(lines(pos.Line))
	if pos.Col-1 > len(end) || strings.Count(string(end[:max(pos.Col-1, 0)]), `"""`) != 1 {
		return
	}
	for n := pos.Line; n > 0; n-- {
		text := lines(n)
		if n == pos.Line {
			text = text[:strings.LastIndex(text, `"""`)]
		}
		if strings.Contains(text, `"""`) {
			pos.Line, pos.Col = n, len([]rune(text))+1
			return
		}
	}
}

// unclosed returns the position of the innermost bracket that is still open at the end of
// text, if there is one.
func unclosed(text []byte) (line, col int) {
	var open []int
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '#':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			i = bounded.StringEnd(text, i)
		case '(', '[', '{':
			open = append(open, i)
		case ')', ']', '}':
			open = open[:max(len(open)-1, 0)]
		}
	}
	if len(open) == 0 {
		return 0, 0
	}
	before := text[:open[len(open)-1]]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// token converts the parser's name of a token to one that authors know.
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
